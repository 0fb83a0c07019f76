// Venue ids as numbers: every text comes back as it was, equal ids are equal texts, and texts that nobody keeps go.
#include "qtxconn/venue_ids.hpp"

#include <map>
#include <random>
#include <string>

#include "check.hpp"

using namespace qtxconn;

namespace {

std::string text_of(const VenueIdTable& ids, VenueId id) {
    char buffer[20];
    return std::string(ids.text(id, buffer));
}

void plain_decimal_numbers_are_themselves() {
    VenueIdTable ids;
    for (const char* text : {"1", "9", "8000000001", "9223372036854775807"}) {
        const VenueId id = ids.intern(text);
        CHECK(!is_text_id(id) && id == std::stoull(text) && text_of(ids, id) == text && ids.find(text) == id);
    }
    CHECK(ids.size() == 0);
}

void every_other_text_comes_back_as_it_was() {
    VenueIdTable ids;
    std::map<std::string, VenueId> known;
    for (const std::string& text :
         {std::string("0"), std::string("007"), std::string("-1"), std::string("+1"), std::string("1.0"),
          std::string("9223372036854775808"), std::string("18446744073709551616"), std::string("12345678901234567890"),
          std::string("0f9da948-a6fb-4c45-9edc-4685c3f3317d"), "0x" + std::string(64, 'a'), "0x" + std::string(64, 'A'),
          std::string("a\0b", 3), std::string(kVenueIdTextMax, '7'), std::string(" 1"), std::string("1 ")}) {
        CHECK(ids.find(text) == kNoVenueId);
        const VenueId id = ids.intern(text);
        ids.keep(id);
        CHECK(is_text_id(id) && text_of(ids, id) == text && ids.find(text) == id && ids.intern(text) == id);
        for (const auto& [other, its] : known) {
            CHECK(its != id && text_of(ids, its) == other);
        }
        known[text] = id;
    }
    CHECK(ids.intern("") == kNoVenueId && ids.intern(std::string(kVenueIdTextMax + 1, 'x')) == kNoVenueId);
    CHECK(text_of(ids, kNoVenueId).empty());
}

void a_text_that_nobody_keeps_goes_and_its_id_stands_for_no_other() {
    VenueIdTable ids;
    const VenueId kept = ids.intern("kept");
    const VenueId idle = ids.intern("idle");
    ids.keep(kept);
    for (std::size_t i = 0; i + 1 < VenueIdTable::kIdle; ++i) {
        ids.intern("x" + std::to_string(i));
        CHECK(text_of(ids, idle) == "idle");
    }
    for (std::size_t i = 0; i < 1000; ++i) {
        const VenueId other = ids.intern("y" + std::to_string(i));
        CHECK(other != idle && other != kept);
    }
    CHECK(text_of(ids, idle).empty() && ids.find("idle") == kNoVenueId);
    CHECK(text_of(ids, kept) == "kept");
    CHECK(ids.size() <= VenueIdTable::kIdle + 1);
    ids.keep(idle);  // an id that is gone: no effect
    ids.let_go(idle);
    ids.let_go(kept);
    CHECK(text_of(ids, kept) == "kept");  // until others have come after it
}

void random_use_agrees_with_a_map_and_is_bounded() {
    std::mt19937_64 rng(7);
    VenueIdTable ids;
    std::map<std::string, std::pair<VenueId, int>> kept;
    for (int step = 0; step < 100000; ++step) {
        const std::string text = "id-" + std::to_string(rng() % 300);
        const VenueId id = ids.intern(text);
        CHECK(text_of(ids, id) == text);
        auto at = kept.find(text);
        if (at != kept.end()) {
            CHECK(at->second.first == id);
        }
        if (rng() % 2 == 0 && kept.size() < 100) {
            ids.keep(id);
            kept.emplace(text, std::make_pair(id, 0)).first->second.second += 1;
        } else if (at != kept.end()) {
            ids.let_go(id);
            if (--at->second.second == 0) {
                kept.erase(at);
            }
        }
        CHECK(ids.size() <= kept.size() + VenueIdTable::kIdle);
    }
}

}  // namespace

int main() {
    plain_decimal_numbers_are_themselves();
    every_other_text_comes_back_as_it_was();
    a_text_that_nobody_keeps_goes_and_its_id_stands_for_no_other();
    random_use_agrees_with_a_map_and_is_bounded();
    return 0;
}
