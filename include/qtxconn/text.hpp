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

// FNV-1a with a final mix, so that ids which differ in one digit spread over the whole table.
inline std::uint64_t hash_text(std::string_view text, std::uint64_t seed = 0) noexcept {
    std::uint64_t hash = 14695981039346656037ULL ^ seed;
    for (const char c : text) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    }
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93ULL;
    return hash ^ (hash >> 32);
}

}  // namespace qtxconn
