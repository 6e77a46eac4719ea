import Foundation
import Synchronization
import T4Conformance

/// What one node is told of its clock and its disk, by `scripts/fault-shim.c`, which is loaded into its process.
final class FaultShim: Sendable {
    private enum Place: Int { case ahead, syncDelay, isFull }

    private let file: URL
    private let library: URL
    private let values = Mutex<[Int64]>([0, 0, 0])

    /// Compiles the library, with the compiler that comes with Swift.
    static func build(in folder: URL) async throws -> URL {
        let library = folder.appending(path: "fault-shim.so")
        let source = TestEnvironment.root.appending(path: "scripts/fault-shim.c")
        let compiler = try ChildProcess(
            "/usr/bin/env", ["clang", "-O1", "-Wall", "-shared", "-fPIC", "-o", library.path, source.path, "-ldl"],
            environment: TestEnvironment.forChildren)
        guard try await compiler.wait() == .code(0) else {
            throw ProcessFailure("\(source.path) does not compile: \(compiler.errors.value)")
        }
        return library
    }

    /// - Parameter file: Where the orders of this node stand.
    init(_ library: URL, file: URL) throws {
        self.library = library
        self.file = file
        try Data(count: 24).write(to: file)
    }

    /// What the node's process needs in its environment.
    var environment: [String: String] { ["LD_PRELOAD": library.path, "FAULT_SHIM_FILE": file.path] }

    /// The wall clock is so far ahead of that of the machine, or behind it.
    func setClock(ahead: Duration) throws { try set(.ahead, ahead.components.seconds * 1_000_000_000) }

    /// Each sync of a file takes so much longer.
    func setSyncDelay(_ delay: Duration) throws {
        let (seconds, attoseconds) = delay.components
        try set(.syncDelay, seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
    }

    func setDisk(isFull: Bool) throws { try set(.isFull, isFull ? 1 : 0) }

    /// In place, and each number as a whole: the process has the file mapped.
    private func set(_ place: Place, _ value: Int64) throws {
        try values.withLock { values in
            values[place.rawValue] = value
            let handle = try FileHandle(forUpdating: file)
            defer { try? handle.close() }
            try handle.seek(toOffset: UInt64(8 * place.rawValue))
            try handle.write(contentsOf: withUnsafeBytes(of: value.littleEndian) { Data($0) })
        }
    }
}
