// Instructions of one level set in a book of 400 levels a side, with the touch read after it.
#include <cstdint>
#include <vector>

#include "driver.hpp"
#include "qtxconn/l2_book.hpp"

namespace {

using namespace qtxconn;

constexpr std::int64_t kMiddle = 600'000;

struct Update {
    Side side;
    std::int64_t price, size;
};

// 80 % near the touch, 17 % in the middle, 3 % deep; three of ten delete.
std::vector<Update> updates(long count) {
    std::vector<Update> made;
    std::uint64_t state = 88172645463325252ULL;
    const auto next = [&state](std::uint64_t below) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<std::int64_t>(state % below);
    };
    for (long i = 0; i < count; ++i) {
        const std::int64_t where = next(100);
        const std::int64_t distance = 1 + (where < 80 ? next(20) : where < 97 ? 20 + next(300) : 320 + next(5'000));
        const Side side = next(2) == 0 ? Side::bid : Side::ask;
        made.push_back(
            {side, side == Side::bid ? kMiddle - distance : kMiddle + distance, next(10) < 3 ? 0 : 1 + next(50)});
    }
    return made;
}

void update(long operations) {
    static const std::vector<Update> made = updates(4096);
    L2Book book;
    for (std::int64_t i = 1; i <= 400; ++i) {
        book.set_level(Side::bid, kMiddle - i, 5);
        book.set_level(Side::ask, kMiddle + i, 5);
    }
    icount::measured([&] {
        for (long i = 0; i < operations; ++i) {
            const Update& change = made[static_cast<std::size_t>(i) % made.size()];
            book.set_level(change.side, change.price, change.size);
            book.commit(static_cast<std::uint64_t>(i), i);
            icount::keep(book.best(Side::bid));
            icount::keep(book.best(Side::ask));
        }
    });
}

constexpr icount::Job kJobs[] = {{"update", update}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
