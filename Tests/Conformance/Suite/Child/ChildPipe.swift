package import Foundation

/// A pipe whose ends no other child inherits: one that lived longer would keep the reader waiting for the end.
///
/// Made of sockets, as Swift does not know the call that makes a pipe in this way at once.
package struct ChildPipe {
    package let fileHandleForReading: FileHandle
    package let fileHandleForWriting: FileHandle

    package init() throws {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw RuleViolation("socketpair: error \(errno)") }
        fileHandleForReading = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        fileHandleForWriting = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
    }
}
