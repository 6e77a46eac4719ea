import CNGHTTP2

/// nghttp2's callbacks for servers. They find the connection in the session's user data, which it outlives, and the
/// call in the stream's user data, which is valid while the stream is open.
enum ServerCallbacks {
    static let all = SessionSupport.Callbacks { raw in
        nghttp2_session_callbacks_set_on_begin_frame_callback(raw, onBeginFrame)
        nghttp2_session_callbacks_set_on_begin_headers_callback(raw, onBeginHeaders)
        nghttp2_session_callbacks_set_on_header_callback(raw, onHeader)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw, onDataChunk)
        nghttp2_session_callbacks_set_on_frame_recv_callback(raw, onFrame)
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(raw, onInvalidFrame)
        nghttp2_session_callbacks_set_on_frame_send_callback(raw, onFrameSent)
        nghttp2_session_callbacks_set_on_stream_close_callback(raw, onStreamClose)
    }

    @inline(__always)
    private static func with(_ userData: UnsafeMutableRawPointer?, _ body: (ServerConnection) -> Void) {
        guard let userData else { return }
        Unmanaged<ServerConnection>.fromOpaque(userData)._withUnsafeGuaranteedRef(body)
    }

    /// The common part of all frames, without a copy of the union.
    @inline(__always)
    private static func header(_ frame: UnsafePointer<nghttp2_frame>) -> nghttp2_frame_hd {
        UnsafeRawPointer(frame).assumingMemoryBound(to: nghttp2_frame_hd.self).pointee
    }

    private static let endStream = UInt8(NGHTTP2_FLAG_END_STREAM.rawValue)
    private static let ack = UInt8(NGHTTP2_FLAG_ACK.rawValue)
    private static let dataType = UInt8(NGHTTP2_DATA.rawValue)
    private static let headersType = UInt8(NGHTTP2_HEADERS.rawValue)
    private static let pingType = UInt8(NGHTTP2_PING.rawValue)
    private static let settingsType = UInt8(NGHTTP2_SETTINGS.rawValue)
    private static let priorityType = UInt8(NGHTTP2_PRIORITY.rawValue)
    private static let goAwayType = UInt8(NGHTTP2_GOAWAY.rawValue)

    private static let onBeginFrame: nghttp2_on_begin_frame_callback = { _, header, userData in
        guard let hd = header?.pointee else { return 0 }
        with(userData) { connection in
            connection.frameLength = hd.length
            switch hd.type {
            case dataType where hd.length > 0 || hd.flags & endStream != 0: break
            case dataType, priorityType: connection.askedForNothing()
            case settingsType where hd.flags & ack == 0: connection.askedForNothing()
            default: break
            }
        }
        return 0
    }

    private static let onInvalidFrame: nghttp2_on_invalid_frame_recv_callback = { _, _, _, userData in
        with(userData) { $0.askedForNothing() }
        return 0
    }

    private static let onBeginHeaders: nghttp2_on_begin_headers_callback = { _, frame, userData in
        guard let frame, header(frame).type == headersType, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else {
            return 0
        }
        with(userData) { $0.beginCall(header(frame).stream_id) }
        return 0
    }

    private static let onHeader: nghttp2_on_header_callback = {
        _, _, name, nameLength, value, valueLength, _, userData in
        with(userData) { connection in
            connection.headerCall?.header(
                UnsafeBufferPointer(start: name, count: nameLength),
                UnsafeBufferPointer(start: value, count: valueLength), shared: connection.shared)
        }
        return 0
    }

    private static let onDataChunk: nghttp2_on_data_chunk_recv_callback = {
        _, flags, streamID, data, length, userData in
        with(userData) { connection in
            connection.data(
                connection.serverCall(ofStream: streamID), streamID: streamID,
                chunk: UnsafeRawBufferPointer(start: data, count: length), endsStream: flags & endStream != 0)
        }
        return 0
    }

    private static let onFrame: nghttp2_on_frame_recv_callback = { _, frame, userData in
        guard let frame else { return 0 }
        let hd = header(frame)
        switch hd.type {
        case dataType where hd.flags & endStream != 0:
            with(userData) { connection in
                if let call = connection.serverCall(ofStream: hd.stream_id) { connection.dataEnded(call) }
            }
        case headersType:
            with(userData) { connection in
                if let call = connection.headerCall {
                    connection.headerCall = nil
                    connection.headersComplete(call, endsStream: hd.flags & endStream != 0)
                } else if hd.flags & endStream != 0, let call = connection.serverCall(ofStream: hd.stream_id) {
                    // Trailers of a request; what they say does not matter.
                    connection.dataEnded(call)
                }
            }
        case pingType:
            with(userData) { connection in
                if hd.flags & ack == 0 {
                    connection.pinged()
                } else {
                    withUnsafeBytes(of: frame.pointee.ping.opaque_data) { connection.pingAnswered($0) }
                }
            }
        case settingsType: with(userData) { $0.hasHandshake = true }
        default: break
        }
        return 0
    }

    private static let onFrameSent: nghttp2_on_frame_send_callback = { _, frame, userData in
        guard let frame else { return 0 }
        let hd = header(frame)
        switch hd.type {
        case headersType where hd.flags & endStream != 0, dataType where hd.flags & endStream != 0:
            with(userData) { $0.answerSent(hd.stream_id) }
        case goAwayType:
            with(userData) { $0.goAwaySent() }
        default: break
        }
        return 0
    }

    private static let onStreamClose: nghttp2_on_stream_close_callback = { _, streamID, code, userData in
        with(userData) { connection in
            if let call = connection.serverCall(ofStream: streamID) { connection.streamClosed(call, code: code) }
        }
        return 0
    }
}
