/// A server could not listen or a client could not connect.
public struct RPCError: Error, Sendable, CustomStringConvertible {
    /// What the caller may want to tell apart.
    public struct Code: Sendable, Hashable {
        private enum Value { case addressInUse, cannotListen, cannotConnect }
        private var value: Value

        /// Another process listens on the address.
        public static let addressInUse = Code(value: .addressInUse)
        /// The address cannot be listened on for another reason.
        public static let cannotListen = Code(value: .cannotListen)
        /// Nobody answers at the address.
        public static let cannotConnect = Code(value: .cannotConnect)
    }

    /// What kind of failure.
    public var code: Code
    /// What failed, with the address.
    public var message: String
    /// The error below it, if there was one.
    public var cause: (any Error)?

    init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The message.
    public var description: String { message }
}
