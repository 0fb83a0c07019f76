// Instructions of decimal text: read from the wire, and written to it.
#include <cstdint>
#include <string>
#include <vector>

#include "driver.hpp"
#include "qtxconn/fixed.hpp"

namespace {

using namespace qtxconn;

void parse(long operations) {
    std::vector<std::string> texts;
    for (long i = 0; i < operations; ++i) {
        texts.push_back(std::to_string(60000 + i % 999) + "." + std::to_string(10 + i % 89));
    }
    icount::measured([&] {
        for (const std::string& text : texts) {
            Fixed value;
            icount::require(parse_fixed(text.data(), text.size(), value) == FixedError::ok);
            icount::keep(value);
        }
    });
}

void format(long operations) {
    icount::measured([&] {
        for (long i = 0; i < operations; ++i) {
            char text[kFixedTextMax];
            icount::keep(format_fixed(Fixed{600001 + i, 1}, text));
            icount::keep(text);
        }
    });
}

constexpr icount::Job kJobs[] = {{"parse", parse}, {"format", format}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
