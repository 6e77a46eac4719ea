import CNGHTTP2
import NIOCore

/// What the sessions of both sides share: options, initial settings, and the callbacks that move data.
enum SessionSupport {
    /// nghttp2's callbacks for one side, made once.
    struct Callbacks: @unchecked Sendable {
        // Unchecked: never written after init; sessions copy it.
        let raw: OpaquePointer

        init(_ configure: (OpaquePointer) -> Void) {
            var made: OpaquePointer?
            precondition(nghttp2_session_callbacks_new(&made) == 0, "out of memory")
            raw = made!
            nghttp2_session_callbacks_set_send_data_callback(raw, sendData)
            configure(raw)
        }
    }

    /// Makes a session and queues its SETTINGS and the larger connection window; nil if out of memory.
    static func makeSession(
        isServer: Bool, callbacks: Callbacks, connection: HTTP2Connection
    ) -> OpaquePointer? {
        let settings = connection.settings
        var option: OpaquePointer?
        guard nghttp2_option_new(&option) == 0 else { return nil }
        defer { nghttp2_option_del(option) }
        // Credit is given back by us, when the bytes have been dealt with.
        nghttp2_option_set_no_auto_window_update(option, 1)
        // Closed streams would be kept for priorities, which we do not use.
        nghttp2_option_set_no_closed_streams(option, 1)
        nghttp2_option_set_max_settings(option, 32)
        if isServer {
            nghttp2_option_set_stream_reset_rate_limit(
                option, UInt64(settings.resetsBurst), UInt64(settings.resetsPerSecond))
        }
        var session: OpaquePointer?
        let userData = Unmanaged.passUnretained(connection).toOpaque()
        let made =
            isServer
            ? nghttp2_session_server_new2(&session, callbacks.raw, userData, option)
            : nghttp2_session_client_new2(&session, callbacks.raw, userData, option)
        guard made == 0, let session else { return nil }
        var entries = [
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.headerListSizeMax),
        ]
        entries.append(
            isServer
                ? entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.concurrentStreamsMax)
                : entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
        guard nghttp2_submit_settings(session, noFlags, entries, entries.count) == 0,
            nghttp2_session_set_local_window_size(session, noFlags, 0, Int32(settings.connectionWindow)) == 0
        else {
            nghttp2_session_del(session)
            return nil
        }
        return session
    }

    static let noFlags = UInt8(NGHTTP2_FLAG_NONE.rawValue)

    private static func entry(_ id: nghttp2_settings_id, _ value: Int) -> nghttp2_settings_entry {
        nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(clamping: value))
    }

    /// A data source that reads the queue of a call. The call outlives it: it stays in `calls` while the stream is.
    static func dataProvider(for call: RPCCall) -> nghttp2_data_provider {
        nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Unmanaged.passUnretained(call).toOpaque()), read_callback: readData)
    }

    /// Gives back credit for received bytes: of the connection always, of the stream unless its reading is paused.
    @inline(__always)
    static func consume(_ count: Int, of call: RPCCall?, streamID: Int32, session: OpaquePointer) {
        guard let call, !call.remoteEnded else {
            nghttp2_session_consume_connection(session, count)
            return
        }
        if call.isReadingPaused {
            nghttp2_session_consume_connection(session, count)
            call.unconsumedBytes += count
        } else {
            nghttp2_session_consume(session, streamID, count)
        }
    }
}

/// Says how much of a call's queue goes into the next data frame, and whether that is the last one.
private let readData: nghttp2_data_source_read_callback = { session, _, _, length, flags, source, _ in
    guard let session, let flags, let pointer = source?.pointee.ptr else {
        return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
    }
    return Unmanaged<RPCCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef { call in
        let available = call.outbound.byteCount
        if available == 0, !call.outboundEnded {
            call.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        let count = min(available, length)
        flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if count == available, call.outboundEnded {
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if call.endsWithTrailers {
                flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                guard call.submitTrailers(session) else {
                    return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
                }
            }
        }
        return count
    }
}

/// Writes one data frame to the output: its header, then bytes of the call's queue.
private let sendData: nghttp2_send_data_callback = { _, frame, header, length, source, _ in
    guard let pointer = source?.pointee.ptr, let header else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
    return Unmanaged<RPCCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef { call in
        let loop = call.loop
        // nghttp2 goes from data frame to data frame by itself: this is where it is held until the channel is asked.
        if loop.output.readableBytes >= HTTP2Connection.outputChunk { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
        // The queue was dropped after the frame had been made: only a reset can end the stream now.
        if call.outbound.byteCount < length { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue }
        loop.output.writeBytes(UnsafeRawBufferPointer(start: header, count: 9))
        call.move(length, to: &loop.output)
        return 0
    }
}
