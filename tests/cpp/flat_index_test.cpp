// The hash index against std::unordered_multimap, with hashes that collide and wrap around the table's end.
#include "qtxconn/flat_index.hpp"

#include <random>
#include <unordered_map>
#include <vector>

#include "check.hpp"
#include "qtxconn/text.hpp"

using namespace qtxconn;

namespace {

// The slots that find() offers under a hash, by refusing each.
std::vector<std::uint32_t> offered(const FlatIndex& index, std::uint64_t hash) {
    std::vector<std::uint32_t> seen;
    CHECK(index.find(hash, [&](std::uint32_t value) {
        seen.push_back(value);
        return false;
    }) == FlatIndex::kNone);
    return seen;
}

void random_operations_keep_the_same_pairs_as_a_multimap() {
    std::mt19937_64 rng(5);
    for (const std::uint64_t spread : {1ULL, 3ULL, 17ULL, 400ULL, 1ULL << 40}) {
        FlatIndex index(1);
        std::unordered_multimap<std::uint64_t, std::uint32_t> model;
        std::uint32_t value = 0;
        for (int step = 0; step < 6000; ++step) {
            // Hashes near all-ones have their home at the end of the table: runs wrap around.
            const std::uint64_t hash = 0 - (rng() % spread) - 1;
            const bool grow = step < 1500 ? rng() % 3 != 0 : rng() % 2 == 0;
            if (grow && model.size() < 400) {
                index.insert(hash, value);
                model.emplace(hash, value++);
            } else if (!model.empty()) {
                auto victim = model.begin();
                std::advance(victim, static_cast<std::ptrdiff_t>(rng() % model.size()));
                index.erase(victim->first, victim->second);
                model.erase(victim);
            }
            index.erase(hash, FlatIndex::kNone - 1);  // not there: no effect
            CHECK(index.size() == model.size());
            CHECK(offered(index, hash).size() == model.count(hash));
            if (step % 200 == 0) {
                for (const auto& [key, slot] : model) {
                    CHECK(index.find(key, [slot = slot](std::uint32_t candidate) { return candidate == slot; }) ==
                          slot);
                    CHECK(offered(index, key).size() == model.count(key));
                }
            }
        }
    }
}

void text_is_refused_when_too_long_never_cut() {
    Text<8> text;
    CHECK(text.assign("1234567") && text.view() == "1234567");
    CHECK(!text.assign("12345678") && text.view() == "1234567");
    CHECK(text.assign("") && text.empty());
    CHECK(text.assign(std::string_view("a\0b", 3)) && text.view().size() == 3);
    text.clear();
    CHECK(text.empty());
    Text<256> longest;
    CHECK(longest.assign(std::string(255, 'x')) && longest.view().size() == 255);
    CHECK(hash_text("1234567") != hash_text("1234568"));
    CHECK(hash_text("1", 1) != hash_text("1", 2));
}

}  // namespace

int main() {
    random_operations_keep_the_same_pairs_as_a_multimap();
    text_is_refused_when_too_long_never_cut();
    return 0;
}
