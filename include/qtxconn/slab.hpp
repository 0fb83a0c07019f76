// Records in blocks that never move, found by number and used again after they were put back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace qtxconn {

// A record has a member function `link()`: the place for a number in it that is free while the record is. Allocates
// only when all records are in use; what a record held stays in it until it is used again.
template <typename Record>
class Slab {
public:
    static constexpr std::uint32_t kNone = UINT32_MAX;

    std::uint32_t take() {
        if (free_ == kNone) {
            add_block();
        }
        const std::uint32_t number = free_;
        free_ = at(number).link();
        return number;
    }

    void put_back(std::uint32_t number) noexcept {
        at(number).link() = free_;
        free_ = number;
    }

    Record& at(std::uint32_t number) noexcept { return blocks_[number / kBlock][number % kBlock]; }
    const Record& at(std::uint32_t number) const noexcept { return blocks_[number / kBlock][number % kBlock]; }

private:
    static constexpr std::uint32_t kBlock = 1024;

    [[gnu::noinline, gnu::cold]] void add_block() {
        const auto first = static_cast<std::uint32_t>(blocks_.size()) * kBlock;
        blocks_.push_back(std::make_unique<Record[]>(kBlock));
        for (std::uint32_t number = first + kBlock; number > first; --number) {
            put_back(number - 1);
        }
    }

    std::vector<std::unique_ptr<Record[]>> blocks_;
    std::uint32_t free_ = kNone;
};

}  // namespace qtxconn
