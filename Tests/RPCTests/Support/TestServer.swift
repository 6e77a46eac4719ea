import Foundation
import Logging
import RPC
import Synchronization
import Testing

/// Runs `body` against a server on a free port and stops the server afterwards.
func withServer(
    threads: Int = 2, configuration: RPCServerConfiguration = .patient,
    logger: Logger = Logger(label: "test"), _ addMethods: (inout RPCRouter) -> Void = { _ in },
    _ body: (RPCServer) async throws -> Void
) async throws {
    var router = RPCRouter()
    router.unary("/test.Echo/Unary") { call, request in call.respond(request.withUnsafeBytes { Array($0) }) }
    addMethods(&router)
    let server = try await RPCServer.start(
        host: "127.0.0.1", port: 0, threads: threads, configuration: configuration, router: router,
        logger: logger)
    do {
        try await body(server)
    } catch {
        await server.shutdownGracefully(deadline: .zero)
        throw error
    }
    await server.shutdownGracefully(deadline: .zero)
}

func connect(
    _ server: RPCServer, configuration: RPCClientConfiguration = RPCClientConfiguration()
) async throws -> RPCClient {
    var configuration = configuration
    // On a busy machine the thread of the client may not be run for seconds.
    configuration.connectTimeout = .seconds(600)
    return try await RPCClient.connect(host: "127.0.0.1", port: server.port, configuration: configuration)
}

/// The status a unary call fails with.
func failure(
    _ client: RPCClient, _ path: String, _ message: [UInt8] = [], timeout: Duration? = nil
) async -> RPCStatus {
    do throws(RPCStatus) {
        _ = try await client.unary(path, message, timeout: timeout)
        return .ok
    } catch {
        return error
    }
}

/// A value that a callback sets and a test waits for.
final class Box<Value: Sendable>: Sendable {
    private struct State {
        var values: [Value] = []
        var waiters: [(count: Int, continuation: CheckedContinuation<[Value], Never>)] = []
    }
    private let state = Mutex(State())

    func add(_ value: Value) {
        let ready = state.withLock { state -> [(CheckedContinuation<[Value], Never>, [Value])] in
            state.values.append(value)
            let count = state.values.count
            let ready = state.waiters.filter { $0.count <= count }.map { ($0.continuation, state.values) }
            state.waiters.removeAll { $0.count <= count }
            return ready
        }
        for (continuation, values) in ready { continuation.resume(returning: values) }
    }

    var values: [Value] { state.withLock { $0.values } }

    /// The values once there are so many.
    func wait(for count: Int = 1) async -> [Value] {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> [Value]? in
                if state.values.count >= count { return state.values }
                state.waiters.append((count, continuation))
                return nil
            }
            if let now { continuation.resume(returning: now) }
        }
    }
}

/// What a streaming call hears, on either side.
enum StreamEvent: Sendable, Equatable {
    case message([UInt8])
    case halfClose
    case cancel(CancelReason)
    case writable
    case end(RPCStatus)
}

/// Writes down what a server's call hears.
final class RecordingServerHandler: ServerStreamHandler {
    let events: Box<StreamEvent>
    let react: (StreamEvent) -> Void

    init(_ events: Box<StreamEvent>, _ react: @escaping (StreamEvent) -> Void = { _ in }) {
        self.events = events
        self.react = react
    }

    private func note(_ event: StreamEvent) {
        events.add(event)
        react(event)
    }

    func onMessage(_ message: RawSpan) { note(.message(message.withUnsafeBytes { Array($0) })) }
    func onHalfClose() { note(.halfClose) }
    func onWake() {}
    func onCancel(_ reason: CancelReason) { note(.cancel(reason)) }
    func onWritable() { note(.writable) }
}

/// Writes down what a client's call hears.
final class RecordingClientHandler: ClientStreamHandler {
    let events: Box<StreamEvent>
    let react: (StreamEvent) -> Void

    init(_ events: Box<StreamEvent>, _ react: @escaping (StreamEvent) -> Void = { _ in }) {
        self.events = events
        self.react = react
    }

    func onMessage(_ message: RawSpan) {
        let event = StreamEvent.message(message.withUnsafeBytes { Array($0) })
        events.add(event)
        react(event)
    }
    func onEnd(_ status: RPCStatus) {
        events.add(.end(status))
        react(.end(status))
    }
    func onWritable() {
        events.add(.writable)
        react(.writable)
    }
}

/// Waits for a condition of a running server that gives no signal, as a counter.
func eventually(_ what: String, within limit: Duration = .seconds(120), _ condition: () -> Bool) async throws {
    let end = ContinuousClock.now + limit
    while !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("never came true: \(what)")
            return
        }
        await Task.yield()
    }
}

/// A number that callbacks change.
final class SharedCounter: Sendable {
    private let number = Atomic<Int>(0)

    var value: Int { number.load(ordering: .sequentiallyConsistent) }
    func add(_ amount: Int) { number.add(amount, ordering: .sequentiallyConsistent) }
    func raise(to least: Int) { _ = number.max(least, ordering: .sequentiallyConsistent) }
}

/// Tells whether a call is still in memory.
struct WeakCall<Call: RPCCall>: Sendable {
    // Weak references are atomic; nobody writes to it.
    nonisolated(unsafe) weak var call: Call?
    init(_ call: Call) { self.call = call }
}

extension RPCServerConfiguration {
    /// Cuts nobody off because the machine is slow, and tells of each kind of fault once.
    static var patient: RPCServerConfiguration {
        var configuration = RPCServerConfiguration()
        configuration.faultLogInterval = .seconds(86_400)
        configuration.handshakeTimeout = .seconds(600)
        configuration.requestTimeout = .seconds(600)
        return configuration
    }
}
