import Logging

/// What all connections of a server read and nobody changes.
final class ServerShared: Sendable {
    let configuration: RPCServerConfiguration
    let settings: ConnectionSettings
    let routes: RouteTable
    let metadataKeys: MetadataKeys
    let pingIntervalMin: Int64
    let logger: Logger
    let faults: ClientFaultLog
    /// Of all event loops.
    let counters: [LoopCounters]

    init(configuration: RPCServerConfiguration, router: RPCRouter, counters: [LoopCounters], logger: Logger) {
        self.configuration = configuration
        self.counters = counters
        faults = ClientFaultLog(logger: logger, interval: configuration.faultLogInterval)
        settings = configuration.connectionSettings
        routes = RouteTable(router)
        metadataKeys = MetadataKeys(configuration.metadataKeys)
        pingIntervalMin = configuration.pingIntervalMin.nanoseconds
        self.logger = logger
    }
}

/// The header names that calls keep; nearly every other header is told apart by its length alone.
struct MetadataKeys: Sendable {
    private let names: [String]
    private let bytes: [[UInt8]]
    private let lengths: UInt64

    init(_ names: [String]) {
        precondition(names.allSatisfy { (1..<64).contains($0.utf8.count) }, "metadata keys have 1 to 63 bytes")
        self.names = names
        bytes = names.map { Array($0.utf8) }
        lengths = bytes.reduce(0) { $0 | 1 << UInt64($1.count) }
    }

    func index(of name: String) -> Int? { names.firstIndex(of: name) }

    @inline(__always)
    func index(of name: UnsafeBufferPointer<UInt8>) -> Int? {
        guard name.count < 64, lengths & (1 << UInt64(name.count)) != 0 else { return nil }
        return bytes.firstIndex { $0.elementsEqual(name) }
    }
}
