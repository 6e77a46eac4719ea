/// The methods of a server: paths such as `/etcdserverpb.KV/Range` and what handles them.
public struct RPCRouter: Sendable {
    /// Handles a unary call; called on the connection's event loop, must not block.
    ///
    /// The bytes are the request message, lent for the duration of the call. The call is to be answered exactly
    /// once, with `respond` or `fail`, before or after the return and from any thread.
    public typealias UnaryHandler = @Sendable (_ call: ServerCall, _ request: RawSpan) -> Void
    /// Makes the handler of a streaming call; called on the connection's event loop when the headers have come.
    public typealias StreamHandlerMaker = @Sendable (_ call: ServerCall) -> any ServerStreamHandler

    private(set) var methods: [ServerMethod] = []

    /// A router without methods.
    public init() {}

    /// Adds a unary method.
    /// - Parameter path: `/service/method`; each path once.
    public mutating func unary(_ path: String, _ handler: @escaping UnaryHandler) {
        add(path, .unary(handler))
    }

    /// Adds a method with streaming in one or both directions.
    /// - Parameter path: `/service/method`; each path once.
    public mutating func stream(_ path: String, _ makeHandler: @escaping StreamHandlerMaker) {
        add(path, .stream(makeHandler))
    }

    /// Whether a call comes to its handler.
    public enum Admission: Sendable {
        case now
        /// The call ends with this status.
        case refused(RPCStatus)
        /// Once the function calls what it is given, from any thread.
        case after(@Sendable (@escaping @Sendable () -> Void) -> Void)
    }

    /// Puts a check in front of all methods that were added so far. It is called on the connection's event loop and must not
    /// block.
    public mutating func admit(where check: @escaping @Sendable (_ call: ServerCall) -> Admission) {
        methods = methods.map { method in
            let kind: ServerMethod.Kind =
                switch method.kind {
                case .unary(let handle):
                    .unary { call, request in
                        switch check(call) {
                        case .now: handle(call, request)
                        case .refused(let status): call.fail(status)
                        case .after(let wait):
                            let bytes = request.withUnsafeBytes { Array($0) }
                            wait { call.onLoop { handle(call, bytes.span.bytes) } }
                        }
                    }
                case .stream(let make):
                    .stream { call in
                        switch check(call) {
                        case .now: return make(call)
                        case .refused(let status):
                            call.finish(status)
                            return WaitingStream(call, make)
                        case .after(let wait):
                            let stream = WaitingStream(call, make)
                            call.pauseReading()
                            wait { call.onLoop { stream.begin() } }
                            return stream
                        }
                    }
                }
            return ServerMethod(path: method.path, index: method.index, kind: kind)
        }
    }

    /// A stream whose handler does not have it yet, or never will. Confined to the event loop.
    private final class WaitingStream: ServerStreamHandler, @unchecked Sendable {
        // Unchecked: everything that changes is touched on the event loop only.

        private let call: ServerCall
        private let make: StreamHandlerMaker
        private var handler: (any ServerStreamHandler)?
        private var messages: [[UInt8]] = []
        private var isHalfClosed = false

        init(_ call: ServerCall, _ make: @escaping StreamHandlerMaker) {
            self.call = call
            self.make = make
        }

        func begin() {
            let made = make(call)
            handler = made
            call.resumeReading()
            for message in messages where !call.isClosed { made.onMessage(message.span.bytes) }
            messages = []
            if isHalfClosed, !call.isClosed { made.onHalfClose() }
        }

        func onMessage(_ message: RawSpan) {
            if let handler { return handler.onMessage(message) }
            messages.append(message.withUnsafeBytes { Array($0) })
        }

        func onHalfClose() {
            isHalfClosed = true
            handler?.onHalfClose()
        }

        func onCancel(_ reason: CancelReason) { handler?.onCancel(reason) }
        func onWritable() { handler?.onWritable() }
        func onWake() { handler?.onWake() }
    }

    /// The paths of all methods, in the order they were added.
    public var paths: [String] { methods.map(\.path) }

    private mutating func add(_ path: String, _ kind: ServerMethod.Kind) {
        precondition(path.utf8.first == UInt8(ascii: "/"), "a path begins with a slash: \(path)")
        precondition(!methods.contains { $0.path == path }, "the method exists: \(path)")
        methods.append(ServerMethod(path: path, index: methods.count, kind: kind))
    }
}

/// Receives what happens to one streaming call. All methods are called on the connection's event loop, one after
/// the other, and must not block.
public protocol ServerStreamHandler: AnyObject {
    /// A message has come; the bytes are lent for the duration of the call.
    func onMessage(_ message: RawSpan)
    /// The client will send nothing more. The call goes on until it is finished.
    func onHalfClose()
    /// The call is over without having been finished; the last thing the handler hears. Not called after `finish`.
    ///
    /// With `.shutdown` the handler may still send and finish; if it does not before it returns, the server does.
    func onCancel(_ reason: CancelReason)
    /// `isWritable` was false and the queue has gone down: more can be sent.
    func onWritable()
    /// Somebody called `wake` of the call, from any thread.
    func onWake()
}

/// Why a call was taken from its handler.
public enum CancelReason: Sendable, Hashable {
    /// The client reset the stream, with this HTTP/2 error code (8: it cancelled the call).
    case reset(code: UInt32)
    /// The connection is gone.
    case connectionLost
    /// The call's deadline passed; the client is told DEADLINE_EXCEEDED.
    case deadline
    /// The server is shutting down.
    case shutdown
    /// The client broke the protocol and is told this status.
    case violation(RPCStatus)
    /// `abandon` ended the call; the client is told this status.
    case abandoned(RPCStatus)
}

/// One method of a server.
final class ServerMethod: Sendable {
    enum Kind: Sendable {
        case unary(RPCRouter.UnaryHandler)
        case stream(RPCRouter.StreamHandlerMaker)
    }

    let path: String
    let bytes: [UInt8]
    let index: Int
    let kind: Kind

    init(path: String, index: Int, kind: Kind) {
        self.path = path
        self.bytes = Array(path.utf8)
        self.index = index
        self.kind = kind
    }
}
