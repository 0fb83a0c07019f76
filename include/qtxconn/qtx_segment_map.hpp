// Maps the order queue's segment: checks it before a byte is touched, locks it, and survives its truncation.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "qtxconn/mapping_guard.hpp"
#include "qtxconn/qtx_segment.hpp"

namespace qtxconn::qtx {

// Owns the mapping; the creator also owns the name. Nothing throws: every step returns a MapStatus. Should another
// process truncate the segment, the guard keeps this one alive: see lost() and intact().
class SegmentMap {
public:
    SegmentMap() noexcept = default;
    SegmentMap(const SegmentMap&) = delete;
    SegmentMap& operator=(const SegmentMap&) = delete;
    ~SegmentMap() { close(); }

    // The producer's side: maps an existing segment. Before a byte is touched: exact size, our own user, nobody else
    // may read or write it (unless `allow_shared_access`), no second producer of ours (an advisory lock).
    MapStatus attach(const char* name, bool allow_shared_access) noexcept {
        MapStatus status = open_name(name, O_RDWR, 0);
        if (status != MapStatus::ok) {
            return status;
        }
        struct stat info{};
        if (fstat(fd_, &info) != 0) {
            return fail(MapStatus::failed);
        }
        if (info.st_size != static_cast<off_t>(kSegmentSize)) {
            actual_size_ = static_cast<std::int64_t>(info.st_size);
            return fail(MapStatus::wrong_size);
        }
        if (!allow_shared_access) {
            if (info.st_uid != geteuid()) {
                return fail(MapStatus::wrong_owner);
            }
            if ((info.st_mode & 077) != 0) {
                return fail(MapStatus::shared_access);
            }
        }
        if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
            return fail(errno == EWOULDBLOCK ? MapStatus::locked : MapStatus::failed);
        }
        status = map();
        if (status == MapStatus::ok && !(detail::in_ring(detail::load_acquire(segment_->from_idx)) &&
                                         detail::in_ring(detail::load_acquire(segment_->to_idx)))) {
            status = fail(MapStatus::corrupt);
        }
        return status;
    }

    // The consumer's side: makes the segment, empty, for our own user only.
    MapStatus create(const char* name) noexcept {
        const MapStatus status = open_name(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (status != MapStatus::ok) {
            return status;
        }
        owner_ = getpid();
        if (fchmod(fd_, 0600) != 0 || ftruncate(fd_, static_cast<off_t>(kSegmentSize)) != 0) {
            return fail(MapStatus::failed);
        }
        return map();
    }

    // Whether the name still leads to the memory we hold, in full. A system call; for heartbeats and time-outs.
    bool intact() const noexcept {
        struct stat info{};
        return !lost() && linked(info) && info.st_size == static_cast<off_t>(kSegmentSize);
    }

    // It was touched after being truncated: what is mapped now is private memory that nobody else sees. One load.
    bool lost() const noexcept { return guard_.lost(); }

    void close() noexcept {
        // Only while it is still ours: someone may have unlinked it and made a new one of the same name, and a forked
        // child owns nothing.
        struct stat info{};
        if (owner_ == getpid() && linked(info)) {
            shm_unlink(name_);
        }
        owner_ = 0;
        guard_.release();
        if (segment_ != nullptr) {
            munmap(segment_, kSegmentSize);
            segment_ = nullptr;
        }
        if (fd_ >= 0) {
            ::close(fd_);
            fd_ = -1;
        }
    }

    Segment* get() const noexcept { return segment_; }
    int error_number() const noexcept { return error_number_; }
    std::int64_t actual_size() const noexcept { return actual_size_; }  // bytes, after MapStatus::wrong_size

private:
    static constexpr std::size_t kNameMax = 255;

    bool linked(struct stat& info) const noexcept { return fd_ >= 0 && fstat(fd_, &info) == 0 && info.st_nlink > 0; }

    MapStatus open_name(const char* name, int flags, mode_t mode) noexcept {
        close();
        const std::size_t length = strnlen(name, kNameMax + 1);
        if (length < 2 || length > kNameMax || name[0] != '/' || strchr(name + 1, '/') != nullptr) {
            return MapStatus::bad_name;
        }
        memcpy(name_, name, length + 1);
        fd_ = shm_open(name_, flags | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd_ >= 0) {
            return MapStatus::ok;
        }
        error_number_ = errno;
        switch (error_number_) {
            case ENOENT: return MapStatus::missing;
            case EEXIST: return MapStatus::exists;
            case EACCES: return MapStatus::denied;
            default: return MapStatus::failed;
        }
    }

    MapStatus map() noexcept {
        // Populated at once: no page fault on the first order.
        void* memory = mmap(nullptr, kSegmentSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
        if (memory == MAP_FAILED) {
            return fail(MapStatus::failed);
        }
        segment_ = static_cast<Segment*>(memory);
        if (!guard_.protect(memory, kSegmentSize)) {
            errno = EMFILE;
            return fail(MapStatus::failed);
        }
        // Keys pass through here: keep them out of core files and, where the limit allows, out of swap.
        madvise(memory, kSegmentSize, MADV_DONTDUMP);
        mlock(memory, kSegmentSize);
        return MapStatus::ok;
    }

    MapStatus fail(MapStatus status) noexcept {
        error_number_ = errno;
        close();
        return status;
    }

    Segment* segment_ = nullptr;
    std::int64_t actual_size_ = 0;
    int fd_ = -1;
    int error_number_ = 0;
    pid_t owner_ = 0;  // of the name
    MappingGuard guard_;
    char name_[kNameMax + 1] = {};
};

}  // namespace qtxconn::qtx
