import CNGHTTP2

/// What calls end with that got no gRPC status.
enum ClientStatus {
    /// From the HTTP status of an answer that is not gRPC.
    static func ofHTTP(_ status: Int?) -> RPCStatus {
        let code: RPCStatus.Code =
            switch status {
            case 200: .internal
            case 400: .internal
            case 401: .unauthenticated
            case 403: .permissionDenied
            case 404: .unimplemented
            case 429, 502, 503, 504: .unavailable
            default: .unknown
            }
        return RPCStatus(code, "the server ended the call without a gRPC status (HTTP status \(status ?? 0))")
    }

    /// From the error code with which the server reset the stream.
    static func ofReset(_ code: UInt32) -> RPCStatus {
        let mapped: RPCStatus.Code =
            switch nghttp2_error_code(code) {
            case NGHTTP2_REFUSED_STREAM: .unavailable
            case NGHTTP2_CANCEL: .cancelled
            case NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_FLOW_CONTROL_ERROR: .resourceExhausted
            case NGHTTP2_INADEQUATE_SECURITY: .permissionDenied
            default: .internal
            }
        let name = String(cString: nghttp2_http2_strerror(code))
        return RPCStatus(mapped, "stream terminated by RST_STREAM with error code: \(name)")
    }
}
