// CRC-32C (Castagnoli): the processor's instruction where it has one, chosen at run time, else a table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qtxconn {

namespace detail {

constexpr std::array<std::uint32_t, 256> make_crc32c_table() noexcept {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value >> 1) ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
        }
        table[byte] = value;
    }
    return table;
}

inline constexpr std::array<std::uint32_t, 256> kCrc32cTable = make_crc32c_table();

inline std::uint32_t crc32c_table(std::uint32_t state, const unsigned char* data, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i) {
        state = (state >> 8) ^ kCrc32cTable[(state ^ data[i]) & 0xFFU];
    }
    return state;
}

using Crc32cFunction = std::uint32_t (*)(std::uint32_t, const unsigned char*, std::size_t) noexcept;

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) inline std::uint32_t crc32c_sse42(std::uint32_t state, const unsigned char* data,
                                                                    std::size_t size) noexcept {
    std::uint64_t wide = state;
    for (; size >= 8; size -= 8, data += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, data, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    auto narrow = static_cast<std::uint32_t>(wide);
    for (; size > 0; --size, ++data) {
        narrow = __builtin_ia32_crc32qi(narrow, *data);
    }
    return narrow;
}

inline Crc32cFunction choose_crc32c() noexcept {
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") != 0 ? crc32c_sse42 : crc32c_table;
}
#else
inline Crc32cFunction choose_crc32c() noexcept { return crc32c_table; }
#endif

inline const Crc32cFunction kCrc32c = choose_crc32c();

}  // namespace detail

// `crc` continues an earlier call's result: crc32c(b, crc32c(a)) is the checksum of a followed by b.
inline std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t crc = 0) noexcept {
    return ~detail::kCrc32c(~crc, static_cast<const unsigned char*>(data), size);
}

}  // namespace qtxconn
