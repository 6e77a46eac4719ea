/// Something that reads bytes which others have written, to be fed with anything.
struct FuzzTarget: Sendable, CustomStringConvertible {
    /// Also the folder of its seeds.
    var name: String
    /// Reads the bytes; that they are wrong is no failure.
    /// - Throws: `FuzzFailure` when what was promised does not hold.
    var run: @Sendable (_ input: [UInt8]) throws -> Void

    var description: String { name }

    static let all = [http2, requests, log, peers, tables, manifests, etcd, toml, json, token]
}

/// A promise that does not hold.
struct FuzzFailure: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }

    static func unless(_ condition: Bool, _ description: @autoclosure () -> String) throws {
        guard condition else { throw FuzzFailure(description()) }
    }
}
