// A ring of records of any size from one thread to another: bounded, without a lock, each record in one piece.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace qtxconn {

//   | size | flags | bytes, padded to 8 |  size | flags | ...      a record that would pass the end is preceded by
//   +--------------+--------------------+                          one of padding up to it
//
// Memory is touched as it is used. One producer at a time calls claim() and publish(), one consumer at a time front()
// and pop().
class RecordRing {
public:
    // `capacity` bytes, a power of two. A record takes 8 bytes more than it holds.
    explicit RecordRing(std::size_t capacity) : capacity_(capacity), bytes_(new std::uint8_t[capacity]) {}

    RecordRing(const RecordRing&) = delete;
    RecordRing& operator=(const RecordRing&) = delete;

    // Room for a record of `size` bytes, or null if there is none just now. Aligned to 8 bytes.
    void* claim(std::size_t size) noexcept {
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        const std::size_t whole = kHeader + (size + 7) / 8 * 8;
        std::size_t at = static_cast<std::size_t>(head) & (capacity_ - 1);
        const std::size_t padding = at + whole > capacity_ ? capacity_ - at : 0;
        if (whole + padding > capacity_ - static_cast<std::size_t>(head - tail_.load(std::memory_order_acquire))) {
            return nullptr;
        }
        if (padding != 0) {
            write_header(at, padding - kHeader, kPadding);
            at = 0;
        }
        write_header(at, size, 0);
        claimed_ = head + padding + whole;
        return bytes_.get() + at + kHeader;
    }

    // The record claimed last can be seen from now on.
    void publish() noexcept { head_.store(claimed_, std::memory_order_release); }

    // The oldest record, or null. Good until pop().
    const void* front() noexcept {
        std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        if (tail == head_.load(std::memory_order_acquire)) {
            return nullptr;
        }
        std::size_t at = static_cast<std::size_t>(tail) & (capacity_ - 1);
        if (read_header(at + 4) == kPadding) {
            tail += capacity_ - at;
            tail_.store(tail, std::memory_order_release);
            at = 0;
        }
        next_ = tail + kHeader + (std::size_t{read_header(at)} + 7) / 8 * 8;
        return bytes_.get() + at + kHeader;
    }

    // The record that front() has shown is done with.
    void pop() noexcept { tail_.store(next_, std::memory_order_release); }

    // Bytes that are free; for the producer.
    std::size_t room() const noexcept {
        return capacity_ -
               static_cast<std::size_t>(head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire));
    }

private:
    static constexpr std::size_t kHeader = 8;
    static constexpr std::uint32_t kPadding = 1;

    void write_header(std::size_t at, std::size_t size, std::uint32_t flags) noexcept {
        const auto size32 = static_cast<std::uint32_t>(size);
        std::memcpy(bytes_.get() + at, &size32, sizeof size32);
        std::memcpy(bytes_.get() + at + 4, &flags, sizeof flags);
    }

    std::uint32_t read_header(std::size_t at) const noexcept {
        std::uint32_t value;
        std::memcpy(&value, bytes_.get() + at, sizeof value);
        return value;
    }

    const std::size_t capacity_;
    const std::unique_ptr<std::uint8_t[]> bytes_;
    std::uint64_t claimed_ = 0;           // the producer's
    std::uint64_t next_ = 0;              // the consumer's
    std::atomic<std::uint64_t> head_{0};  // bytes ever published
    std::atomic<std::uint64_t> tail_{0};  // bytes ever taken
};

}  // namespace qtxconn
