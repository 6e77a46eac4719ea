import CNGHTTP2

/// The header fields of answers.
enum ResponseHeaders {
    static let ok = StaticHeaderFields([(":status", "200"), ("content-type", "application/grpc")])
    private static let okTrailers = StaticHeaderFields([("grpc-status", "0")])
    private static let okOnly = StaticHeaderFields([
        (":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0"),
    ])

    /// An answer without a message: everything in one header block.
    static func submitTrailersOnly(_ status: RPCStatus, httpStatus: Int, call: ServerCall, session: OpaquePointer) {
        if status.isOK {
            nghttp2_submit_response(session, call.streamID, okOnly.fields.baseAddress, okOnly.fields.count, nil)
        } else {
            var fields = HeaderFields()
            fields.append(":status", "\(httpStatus)")
            fields.append("content-type", "application/grpc")
            append(status, to: &fields)
            if status.code == .unimplemented { fields.append("grpc-accept-encoding", "identity") }
            _ = fields.withFields { nghttp2_submit_response(session, call.streamID, $0, $1, nil) }
        }
    }

    /// The status behind the messages; called while nghttp2 makes the last data frame.
    static func submitTrailers(_ status: RPCStatus, call: ServerCall, session: OpaquePointer) -> Bool {
        if status.isOK {
            let fields = okTrailers.fields
            return nghttp2_submit_trailer(session, call.streamID, fields.baseAddress, fields.count) == 0
        }
        var fields = HeaderFields()
        append(status, to: &fields)
        return fields.withFields { nghttp2_submit_trailer(session, call.streamID, $0, $1) } == 0
    }

    private static func append(_ status: RPCStatus, to fields: inout HeaderFields) {
        fields.append("grpc-status", "\(status.code.rawValue)")
        if !status.message.isEmpty {
            fields.append("grpc-message".utf8, PercentEncoding.encode(status.message), indexed: false)
        }
    }
}
