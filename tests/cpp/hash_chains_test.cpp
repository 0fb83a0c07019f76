// The chained hash index against std::unordered_multimap, with keys that repeat and share buckets; and bounded text.
#include "qtxconn/hash_chains.hpp"

#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "check.hpp"
#include "qtxconn/text.hpp"

using namespace qtxconn;

namespace {

struct Record {
    std::uint64_t key = 0;
    std::uint32_t next = HashChains::kNone;
};

struct Table {
    std::vector<Record> records;
    HashChains index{1};

    auto link() {
        return [this](std::uint32_t record) -> std::uint32_t& { return records[record].next; };
    }
    void insert(std::uint64_t key) {
        records.push_back(Record{key});
        index.insert(index.bucket(key), static_cast<std::uint32_t>(records.size() - 1), link(),
                     [this](std::uint32_t record) { return records[record].key; });
    }
    // How often find() offers a record with this key.
    std::size_t offered(std::uint64_t key) {
        std::size_t count = 0;
        CHECK(HashChains::find(index.bucket(key), link(), [&](std::uint32_t record) {
                  count += records[record].key == key;
                  return false;
              }) == HashChains::kNone);
        return count;
    }
};

void random_operations_keep_the_same_pairs_as_a_multimap() {
    std::mt19937_64 rng(5);
    for (const std::uint64_t spread : {1ULL, 3ULL, 17ULL, 400ULL, 1ULL << 40}) {
        Table table;
        std::unordered_multimap<std::uint64_t, std::uint32_t> model;
        for (int step = 0; step < 6000; ++step) {
            const std::uint64_t key = 0 - (rng() % spread) - 1;
            const bool grow = step < 1500 ? rng() % 3 != 0 : rng() % 2 == 0;
            if (grow && model.size() < 400) {
                table.insert(key);
                model.emplace(key, static_cast<std::uint32_t>(table.records.size() - 1));
            } else if (!model.empty()) {
                auto victim = model.begin();
                std::advance(victim, static_cast<std::ptrdiff_t>(rng() % model.size()));
                table.index.erase(victim->first, victim->second, table.link());
                model.erase(victim);
            }
            table.index.erase(key, HashChains::kNone - 1, table.link());  // not there: no effect
            CHECK(table.index.size() == model.size());
            CHECK(table.offered(key) == model.count(key));
            if (step % 200 == 0) {
                for (const auto& [known, record] : model) {
                    CHECK(HashChains::find(
                              table.index.bucket(known), table.link(),
                              [record = record](std::uint32_t candidate) { return candidate == record; }) == record);
                }
            }
        }
    }
}

void growing_loses_nothing_and_sequential_keys_spread() {
    Table table;
    for (std::uint64_t key = 1; key <= 100000; ++key) {
        table.insert(key);
    }
    std::size_t steps = 0;
    for (std::uint64_t key = 1; key <= 100000; ++key) {
        CHECK(HashChains::find(table.index.bucket(key), table.link(), [&](std::uint32_t record) {
                  ++steps;
                  return table.records[record].key == key;
              }) == key - 1);
    }
    CHECK(steps < 150000);
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
}

void a_hash_takes_every_byte_and_the_length_in() {
    for (std::size_t size = 1; size <= 40; ++size) {
        const std::string text(size, '0');
        CHECK(hash_text(text) == hash_text(std::string(text)) && hash_text(text) != hash_text(text + '0'));
        for (std::size_t i = 0; i < size; ++i) {
            std::string other = text;
            other[i] = '1';
            CHECK(hash_text(text) != hash_text(other));
        }
    }
}

void hashes_of_ids_that_count_spread() {
    std::vector<int> buckets(1024);
    for (int i = 0; i < 1024; ++i) {
        ++buckets[hash_text("0f9da948-a6fb-4c45-9edc-" + std::to_string(100'000'000'000 + i)) >> 22];
    }
    for (const int count : buckets) {
        CHECK(count <= 8);
    }
}

}  // namespace

int main() {
    random_operations_keep_the_same_pairs_as_a_multimap();
    growing_loses_nothing_and_sequential_keys_spread();
    text_is_refused_when_too_long_never_cut();
    a_hash_takes_every_byte_and_the_length_in();
    hashes_of_ids_that_count_spread();
    return 0;
}
