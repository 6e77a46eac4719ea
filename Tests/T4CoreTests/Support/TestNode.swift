import Foundation
import Logging
import T4BuiltIns
import T4Core
import T4Protocols

/// A node in a directory of its own, which goes away with it.
final class TestNode {
    let directory: String
    let engine: String
    private let change: (inout NodeConfiguration) -> Void
    private(set) var node: Node

    init(engine: String = "memory", _ change: @escaping (inout NodeConfiguration) -> Void = { _ in }) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-node-\(UUID().uuidString)").path
        self.engine = engine
        self.change = change
        node = try TestNode.open(directory, engine, change)
    }

    deinit {
        do {
            try node.stopAndWait()
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            fatalError("a test's node could not be taken down: \(error)")
        }
    }

    /// Stops the node and starts it again from its directory.
    func restart() throws {
        try node.stopAndWait()
        node = try TestNode.open(directory, engine, change)
    }

    static func open(
        _ directory: String, _ engine: String, _ change: (inout NodeConfiguration) -> Void = { _ in }
    ) throws -> Node {
        var configuration = NodeConfiguration(dataDirectory: directory, engine: engine)
        configuration.segmentSizeMax = 1 << 20
        change(&configuration)
        return try Node(
            configuration, registry: .builtIn, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            clock: .system)
    }
}

extension Array where Element == UInt8 {
    init(_ text: String) { self.init(text.utf8) }
}

extension KeyValue {
    var text: String { String(decoding: key, as: UTF8.self) + "=" + String(decoding: value, as: UTF8.self) }
}
