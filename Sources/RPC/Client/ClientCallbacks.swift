import CNGHTTP2

/// nghttp2's callbacks for clients; user data as on the server.
enum ClientCallbacks {
    static let all = SessionSupport.Callbacks { raw in
        nghttp2_session_callbacks_set_on_begin_headers_callback(raw, onBeginHeaders)
        nghttp2_session_callbacks_set_on_header_callback(raw, onHeader)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw, onDataChunk)
        nghttp2_session_callbacks_set_on_frame_recv_callback(raw, onFrame)
        nghttp2_session_callbacks_set_on_stream_close_callback(raw, onStreamClose)
    }

    @inline(__always)
    private static func with(_ userData: UnsafeMutableRawPointer?, _ body: (ClientConnection) -> Void) {
        guard let userData else { return }
        Unmanaged<ClientConnection>.fromOpaque(userData)._withUnsafeGuaranteedRef(body)
    }

    /// The common part of all frames, without a copy of the union.
    @inline(__always)
    private static func header(_ frame: UnsafePointer<nghttp2_frame>) -> nghttp2_frame_hd {
        UnsafeRawPointer(frame).assumingMemoryBound(to: nghttp2_frame_hd.self).pointee
    }

    private static let endStream = UInt8(NGHTTP2_FLAG_END_STREAM.rawValue)
    private static let ack = UInt8(NGHTTP2_FLAG_ACK.rawValue)

    private static let onBeginHeaders: nghttp2_on_begin_headers_callback = { _, frame, userData in
        guard let frame else { return 0 }
        with(userData) { $0.headerCall = $0.clientCall(ofStream: header(frame).stream_id) }
        return 0
    }

    private static let onHeader: nghttp2_on_header_callback = {
        _, _, name, nameLength, value, valueLength, _, userData in
        with(userData) { connection in
            connection.headerCall?.header(
                UnsafeBufferPointer(start: name, count: nameLength),
                UnsafeBufferPointer(start: value, count: valueLength))
        }
        return 0
    }

    private static let onDataChunk: nghttp2_on_data_chunk_recv_callback = { _, _, streamID, data, length, userData in
        with(userData) { connection in
            connection.data(streamID: streamID, chunk: UnsafeRawBufferPointer(start: data, count: length))
        }
        return 0
    }

    private static let onFrame: nghttp2_on_frame_recv_callback = { _, frame, userData in
        guard let frame else { return 0 }
        let hd = header(frame)
        switch UInt32(hd.type) {
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
            guard hd.flags & endStream != 0 else { break }
            with(userData) { connection in connection.clientCall(ofStream: hd.stream_id)?.receivedEnd() }
        case NGHTTP2_PING.rawValue where hd.flags & ack != 0:
            with(userData) { $0.pingAcknowledged() }
        case NGHTTP2_GOAWAY.rawValue:
            let goAway = frame.pointee.goaway
            let text = UnsafeBufferPointer(start: goAway.opaque_data, count: goAway.opaque_data_len)
            with(userData) { $0.receivedGoAway(goAway.error_code, String(decoding: text, as: UTF8.self)) }
        default: break
        }
        return 0
    }

    private static let onStreamClose: nghttp2_on_stream_close_callback = { _, streamID, code, userData in
        with(userData) { connection in
            if let call = connection.clientCall(ofStream: streamID) { connection.streamClosed(call, code: code) }
        }
        return 0
    }
}
