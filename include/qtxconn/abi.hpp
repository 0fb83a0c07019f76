// The number that names the binary interface of this package's public headers and .pxd files.
#pragma once

// Raised with every change to a public struct, enum, .pxd class or function signature. A consumer compiled against
// another number gets an ImportError from import_qtxconn() instead of a crash.
#define QTXCONN_ABI 1
