/// Reading of request header fields, told apart by length and bytes: no string is made for a well-formed call.
extension ServerCall {
    /// What HTTP/2 adds to each field when it counts a header list.
    static let fieldOverhead = 32

    /// Takes one field of the request.
    func header(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, shared: ServerShared) {
        headerBytes += name.count + value.count + Self.fieldOverhead
        guard headerBytes <= shared.configuration.headerListSizeMax else {
            problem = .tooLarge
            return
        }
        if let web { keeps(metadata: web.header(name, value)) }
        switch name.count {
        case 5 where Self.equal(name, ":path"):
            method = shared.routes.method(UnsafeRawBufferPointer(value))
            guard method == nil else { break }
            unknownPath = String(decoding: value, as: UTF8.self)
            // It stands in front of the fields that such a request is told by.
            web = server.web.map { WebStream($0, self, server) }
        case 7 where Self.equal(name, ":method"):
            isPost = Self.equal(value, "POST")
            if !isPost { requestMethod = String(decoding: value, as: UTF8.self) }
        case 12 where Self.equal(name, "content-type"):
            hasGRPCContentType = Self.isGRPC(value)
            if !hasGRPCContentType { contentType = String(decoding: value, as: UTF8.self) }
        case 12 where Self.equal(name, "grpc-timeout"):
            switch GRPCTimeout.parse(value) {
            case .nanoseconds(let nanoseconds): timeout = nanoseconds
            case .malformed(let text): problem = problem ?? .timeout(text)
            }
        case 13 where Self.equal(name, "grpc-encoding"):
            if !value.isEmpty, !Self.equal(value, "identity") {
                problem = problem ?? .encoding(String(decoding: value, as: UTF8.self))
            }
        default:
            if let key = shared.metadataKeys.index(of: name) { addMetadata(key, value) }
        }
    }

    /// It is meant for gRPC, in a form that we know or not.
    var saysGRPC: Bool { hasGRPCContentType || contentType?.contains("application/grpc") == true }

    /// `application/grpc`, alone or followed by a subtype or parameters.
    private static func isGRPC(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        let length = 16
        guard value.count >= length,
            equal(UnsafeBufferPointer(rebasing: value[..<length]), "application/grpc")
        else { return false }
        return value.count == length || value[length] == UInt8(ascii: "+") || value[length] == UInt8(ascii: ";")
    }

    @inline(__always)
    private static func equal(_ bytes: UnsafeBufferPointer<UInt8>, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        let other = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        for index in bytes.indices where bytes[index] != other[index] { return false }
        return true
    }
}
