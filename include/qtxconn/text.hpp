// Bounded text stored inline, and the hash of a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace qtxconn {

// Up to N - 1 bytes of any content. Assigning more than that is refused, never cut.
template <std::size_t N>
class Text {
    static_assert(N >= 2 && N <= 256, "the length is one byte");

public:
    static constexpr std::size_t kCapacity = N - 1;

    bool assign(std::string_view text) noexcept {
        if (text.size() > kCapacity) {
            return false;
        }
        if (!text.empty()) {
            std::memcpy(data_, text.data(), text.size());
        }
        size_ = static_cast<std::uint8_t>(text.size());
        return true;
    }

    void clear() noexcept { size_ = 0; }
    bool empty() const noexcept { return size_ == 0; }
    std::string_view view() const noexcept { return {data_, size_}; }

private:
    std::uint8_t size_ = 0;
    char data_[kCapacity] = {};
};

// Eight bytes at a time are multiplied in, so that ids which differ in one digit spread over the whole table.
inline std::uint32_t hash_text(std::string_view text) noexcept {
    constexpr std::uint64_t kFactor = 0xD6E8FEB86659FD93ULL;
    std::uint64_t hash = text.size() * kFactor;
    while (text.size() >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data(), 8);
        hash = (hash ^ word) * kFactor;
        hash ^= hash >> 32;
        text.remove_prefix(8);
    }
    std::uint64_t rest = 0;
    for (const char c : text) {
        rest = rest << 8 | static_cast<unsigned char>(c);
    }
    hash = (hash ^ rest) * kFactor;
    return static_cast<std::uint32_t>(hash >> 32);
}

}  // namespace qtxconn
