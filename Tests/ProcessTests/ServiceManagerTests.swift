import Foundation
import Glibc
import T4Conformance
import Testing

/// Goal: whoever starts t4 as systemd does learns when it takes requests, and when it stops. Method: the test has the socket
/// that systemd would have.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct ServiceManagerTests {
    @Test(arguments: [false, true])
    func learnsOfStartAndEnd(_ isAbstract: Bool) async throws {
        try await withTemporaryDirectory { folder in
            let name = isAbstract ? "@t4-test-\(getpid())" : folder.appending(path: "notify").path
            let socket = try DatagramSocket(name)
            let process = try start(folder, socketName: name)
            #expect(try await socket.next() == "READY=1")
            // It was said before, but comes by another way.
            try await process.output.untilSaid("t4 is ready")
            process.signal(SIGTERM)
            #expect(try await socket.next() == "STOPPING=1")
            #expect(try await process.wait() == .code(0))
        }
    }

    /// Nobody there to be told is no reason to stop.
    @Test func goesOnWithoutOne() async throws {
        try await withTemporaryDirectory { folder in
            let process = try start(folder, socketName: folder.appending(path: "nobody").path)
            try await process.output.untilSaid("t4 is ready")
            try await process.errors.untilSaid("cannot tell the service manager")
            process.signal(SIGTERM)
            #expect(try await process.wait() == .code(0))
        }
    }

    private func start(_ folder: URL, socketName: String) throws -> ChildProcess {
        var environment = TestEnvironment.forChildren
        environment["NOTIFY_SOCKET"] = socketName
        return try ChildProcess(
            TestEnvironment.t4Binary(),
            ["run", "--data-dir", folder.appending(path: "data").path, "--listen", "127.0.0.1:0"],
            environment: environment)
    }
}

/// A socket of datagrams with a name, in the file system or, after an @, outside of it.
private final class DatagramSocket: Sendable {
    private let descriptor: Int32

    init(_ name: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure("socket", errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = name.hasPrefix("@") ? [0] + Array(name.utf8.dropFirst()) : Array(name.utf8)
        let start = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: address.sun_path)
        try #require(start + bytes.count < MemoryLayout<sockaddr_un>.size)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(start + bytes.count))
            }
        }
        guard result == 0 else { throw ProcessFailure("bind \(name)", errno) }
    }

    /// The next datagram; waits for it on a thread of its own.
    func next() async throws -> String {
        let descriptor = descriptor
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                var buffer = [UInt8](repeating: 0, count: 256)
                guard poll(&poller, 1, 120_000) == 1 else {
                    return continuation.resume(throwing: ProcessFailure("nothing was said within two minutes"))
                }
                let count = recv(descriptor, &buffer, buffer.count, 0)
                continuation.resume(returning: String(decoding: buffer.prefix(max(0, count)), as: UTF8.self))
            }
        }
    }

    deinit { close(descriptor) }
}
