# The scanners that a Binance connector asks before it makes Python objects of a message.

from libc.stdint cimport int64_t, uint32_t
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.string_view cimport string_view

from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.exchanges.binance.wire cimport DepthUpdate


cdef extern from *:
    """
    #include <map>
    #include <string>
    #include <string_view>

    // Numbers of the venue's symbols, found without making a string.
    struct SymbolNumbers {
        void set(std::string_view symbol, std::size_t number) { numbers.insert_or_assign(std::string(symbol), number); }
        // The number, or -1.
        std::ptrdiff_t find(std::string_view symbol) const {
            const auto found = numbers.find(symbol);
            return found == numbers.end() ? -1 : static_cast<std::ptrdiff_t>(found->second);
        }
        void clear() { numbers.clear(); }
        std::map<std::string, std::size_t, std::less<>> numbers;
    };
    """
    cdef cppclass SymbolNumbers:
        void set(string_view symbol, size_t number) except +
        Py_ssize_t find(string_view symbol) noexcept nogil
        void clear() noexcept


cdef class MarketScanner:
    cdef SymbolNumbers _numbers
    cdef list _feeds                        # BookFeeds, and their BookSyncs, by number
    cdef list _syncs
    cdef unique_ptr[DepthUpdate] _depth     # 32 KiB, kept for the next message

    cdef bint _process_depth(self, string_view text, Py_ssize_t number, int64_t received_ns) except -1
    cdef bint _process_trade(self, string_view text, Py_ssize_t number, int64_t received_ns) except -1


cdef class UserScanner:
    cdef readonly ClientOrderTracker tracker
    cdef object _pair_of            # symbol -> trading pair, or None
    cdef SymbolNumbers _numbers     # symbol -> the tracker's number of the pair

    cdef Py_ssize_t _number_of(self, string_view symbol) except -2
