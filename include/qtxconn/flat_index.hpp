// An open-addressing hash index from a 64-bit hash to a slot number: no allocation after it has grown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qtxconn {

// Linear probing with backward-shift deletion (no tombstones). Different keys may share a hash: find() asks `matches`
// about each candidate slot, so the caller compares the real key.
class FlatIndex {
public:
    static constexpr std::uint32_t kNone = UINT32_MAX;

    explicit FlatIndex(std::size_t capacity = 1024) : cells_(round_up(capacity * 2)), mask_(cells_.size() - 1) {}

    template <typename Matches>
    std::uint32_t find(std::uint64_t hash, Matches matches) const noexcept {
        for (std::size_t i = home(hash);; i = next(i)) {
            const Cell& cell = cells_[i];
            if (cell.value == kNone) {
                return kNone;
            }
            if (cell.hash == hash && matches(cell.value)) {
                return cell.value;
            }
        }
    }

    void insert(std::uint64_t hash, std::uint32_t value) {
        if ((size_ + 1) * 2 > cells_.size()) {
            grow();
        }
        place(hash, value);
        ++size_;
    }

    void erase(std::uint64_t hash, std::uint32_t value) noexcept {
        std::size_t i = home(hash);
        for (; cells_[i].value != value || cells_[i].hash != hash; i = next(i)) {
            if (cells_[i].value == kNone) {
                return;
            }
        }
        std::size_t hole = i;
        for (std::size_t j = next(i); cells_[j].value != kNone; j = next(j)) {
            // A cell may move back into the hole unless that would put it before its home.
            const std::size_t from_home = (j - home(cells_[j].hash)) & mask_;
            const std::size_t from_hole = (j - hole) & mask_;
            if (from_home >= from_hole) {
                cells_[hole] = cells_[j];
                hole = j;
            }
        }
        cells_[hole] = Cell{};
        --size_;
    }

    std::size_t size() const noexcept { return size_; }

private:
    struct Cell {
        std::uint64_t hash = 0;
        std::uint32_t value = kNone;
    };

    static std::size_t round_up(std::size_t wanted) noexcept {
        std::size_t size = 16;
        while (size < wanted) {
            size *= 2;
        }
        return size;
    }

    std::size_t home(std::uint64_t hash) const noexcept { return static_cast<std::size_t>(hash) & mask_; }
    std::size_t next(std::size_t i) const noexcept { return (i + 1) & mask_; }

    void place(std::uint64_t hash, std::uint32_t value) noexcept {
        std::size_t i = home(hash);
        while (cells_[i].value != kNone) {
            i = next(i);
        }
        cells_[i].hash = hash;
        cells_[i].value = value;
    }

    void grow() {
        std::vector<Cell> old(cells_.size() * 2);
        old.swap(cells_);
        mask_ = cells_.size() - 1;
        for (const Cell& cell : old) {
            if (cell.value != kNone) {
                place(cell.hash, cell.value);
            }
        }
    }

    std::vector<Cell> cells_;
    std::size_t mask_;
    std::size_t size_ = 0;
};

}  // namespace qtxconn
