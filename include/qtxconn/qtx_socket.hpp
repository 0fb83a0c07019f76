// UDP sockets of the feed: opened for one server, read in batches with the kernel's receive times and drop counts.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "qtxconn/clock.hpp"
#include "qtxconn/qtx_decoder.hpp"
#include "qtxconn/qtx_packet.hpp"

namespace qtxconn::qtx {

struct FeedSocket {
    FeedSocket(int number_, int fd_) noexcept : number(number_), fd(fd_) {}
    FeedSocket(const FeedSocket&) = delete;
    FeedSocket& operator=(const FeedSocket&) = delete;
    ~FeedSocket() { ::close(fd); }

    const int number;
    const int fd;
    in_addr source{};  // of a multicast socket: whose datagrams count. Others are connected: the kernel does it
    bool is_multicast = false;
    std::uint32_t kernel_drops = 0;  // as the kernel counts them
    std::size_t batch_size = 1;      // how many datagrams the next call asks for
    IndexTable indices;
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;  // that were applied
};

namespace detail {

inline int open_udp(int receive_buffer_bytes) noexcept {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    const int on = 1;
    // Beyond the system's limit for ordinary users if this process may (CAP_NET_ADMIN).
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes, sizeof receive_buffer_bytes) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    return fd;
}

inline bool parse_address(const char* ip, std::uint16_t port, sockaddr_in& address) noexcept {
    address = sockaddr_in{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    return inet_pton(AF_INET, ip, &address.sin_addr) == 1;
}

// -errno, with the socket closed.
inline int failed(int fd) noexcept {
    const int error = errno;
    ::close(fd);
    return -error;
}

}  // namespace detail

// A socket connected to an IPv4 address: the kernel drops what comes from anywhere else. Its descriptor, or -errno.
inline int open_connected(const char* ip, std::uint16_t port, int receive_buffer_bytes) noexcept {
    sockaddr_in address;
    if (!detail::parse_address(ip, port, address)) {
        return -EINVAL;
    }
    const int fd = detail::open_udp(receive_buffer_bytes);
    if (fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return detail::failed(fd);
    }
    return fd;
}

// A member of an IPv4 multicast group, on the interface with the address `interface_ip` ("0.0.0.0": the system's
// choice). Its descriptor, or -errno.
inline int open_member(const char* group, std::uint16_t port, const char* interface_ip,
                       int receive_buffer_bytes) noexcept {
    sockaddr_in address;
    sockaddr_in interface;
    if (!detail::parse_address(group, port, address) || !detail::parse_address(interface_ip, 0, interface) ||
        !IN_MULTICAST(ntohl(address.sin_addr.s_addr))) {
        return -EINVAL;
    }
    const int fd = detail::open_udp(receive_buffer_bytes);
    if (fd < 0) {
        return fd;
    }
    const int on = 1;
    const int off = 0;
    ip_mreq membership{};
    membership.imr_multiaddr = address.sin_addr;
    membership.imr_interface = interface.sin_addr;
    // Bound to the group and not to every address, and not given what other sockets of this machine have joined.
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership) != 0) {
        return detail::failed(fd);
    }
    return fd;
}

// Buffers for one system call's worth of datagrams, set up once.
class ReceiveBatch {
public:
    static constexpr std::size_t kCount = 32;

    ReceiveBatch() : bytes_(new std::uint8_t[kCount * kStride]) {
        for (std::size_t i = 0; i < kCount; ++i) {
            parts_[i] = {bytes_.get() + i * kStride, kDatagramSizeMax};
            messages_[i].msg_hdr.msg_iov = &parts_[i];
            messages_[i].msg_hdr.msg_iovlen = 1;
            messages_[i].msg_hdr.msg_control = control_[i];
            reset(i);
        }
    }

    // Takes up to `wanted` (at most kCount) datagrams; how many, or -errno. Never blocks.
    int receive(const FeedSocket& socket, std::size_t wanted) noexcept {
        for (std::size_t i = 0; socket.is_multicast && i < wanted; ++i) {
            messages_[i].msg_hdr.msg_name = &names_[i];
            messages_[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
        }
        const int got = recvmmsg(socket.fd, messages_, static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
        return got < 0 ? -errno : got;
    }

    const std::uint8_t* bytes(std::size_t i) const noexcept { return bytes_.get() + i * kStride; }
    std::size_t size(std::size_t i) const noexcept { return messages_[i].msg_len; }

    // On a multicast socket.
    bool is_from(std::size_t i, in_addr source) const noexcept { return names_[i].sin_addr.s_addr == source.s_addr; }

    // The kernel's receive time (0: it gave none) and its count of drops on the socket, which only grows. Makes the
    // place ready for the next batch.
    std::int64_t finish(std::size_t i, std::uint32_t& drops) noexcept {
        std::int64_t received_ns = 0;
        msghdr& header = messages_[i].msg_hdr;
        for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
            if (item->cmsg_level != SOL_SOCKET) {
                continue;
            }
            if (item->cmsg_type == SCM_TIMESTAMPNS) {
                timespec stamp{};
                std::memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
                received_ns = static_cast<std::int64_t>(stamp.tv_sec) * kNsPerSecond + stamp.tv_nsec;
            } else if (item->cmsg_type == SO_RXQ_OVFL) {
                std::memcpy(&drops, CMSG_DATA(item), sizeof drops);
            }
        }
        reset(i);
        return received_ns;
    }

private:
    // Not a power of two: the heads of a batch's datagrams would share one set of the cache.
    static constexpr std::size_t kStride = kDatagramSizeMax + 7 * 64;
    static constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(sizeof(std::uint32_t));

    void reset(std::size_t i) noexcept {
        messages_[i].msg_hdr.msg_name = nullptr;
        messages_[i].msg_hdr.msg_controllen = kControlSize;
    }

    std::unique_ptr<std::uint8_t[]> bytes_;
    mmsghdr messages_[kCount] = {};
    iovec parts_[kCount];
    sockaddr_in names_[kCount];
    alignas(cmsghdr) char control_[kCount][kControlSize];
};

}  // namespace qtxconn::qtx
