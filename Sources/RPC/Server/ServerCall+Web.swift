import CNGHTTP2

/// What a call is for a request that is no gRPC: its stream. On the event loop only.
extension ServerCall {
    /// The headers are in order, and not those of gRPC: hands the request to the `HTTPService`.
    func beginWeb(_ front: WebFront, endsStream: Bool) {
        let made = web ?? WebStream(front, self, server)
        web = made
        // The method of that path is not called.
        let path = path
        (method, unknownPath) = (nil, path)
        outbound.isFramed = false
        countsPending = true
        made.begin(isPost ? "POST" : requestMethod ?? "", path, endsStream: endsStream)
        updateHeldBytes()
    }

    /// Bytes of the body have come.
    func receivedForWeb(_ chunk: UnsafeRawBufferPointer, _ web: WebStream) {
        if !web.isMidMessage { noteBegin() }
        web.received(chunk)
        updateHeldBytes()
        if !hasEnded, server.requestBytesHeld > server.shared.configuration.requestBytesMax {
            server.shared.faults.note(.tooManyIncomplete, from: remoteAddress)
            cancelWeb(web, NGHTTP2_ENHANCE_YOUR_CALM, .resourceExhausted)
        }
    }

    /// Has the client go on with the body of its request.
    func sendContinue() {
        guard let session = server.session else { return }
        var fields = HeaderFields()
        fields.append(":status", "100")
        _ = fields.withFields {
            nghttp2_submit_headers(session, SessionSupport.noFlags, streamID, nil, $0, $1, nil)
        }
        server.setNeedsDrain()
    }

    /// Tells the handler that nothing comes of the request, and the client that its stream is no more.
    func cancelWeb(_ web: WebStream, _ code: nghttp2_error_code, _ status: RPCStatus.Code) {
        web.abandon()
        reset(code, status)
    }

    /// The handler takes more of the body.
    func webReads() {
        guard !hasEnded else { return }
        resumeReading()
        updateHeldBytes()
    }

    /// Begins the answer.
    func sendHead(_ fields: consuming HeaderFields, hasBody: Bool) {
        guard !hasEnded, let session = server.session else { return }
        var provider = SessionSupport.dataProvider(for: self)
        _ = fields.withFields {
            hasBody
                ? nghttp2_submit_response(session, streamID, $0, $1, &provider)
                : nghttp2_submit_response(session, streamID, $0, $1, nil)
        }
        server.sentSomething()
    }

    /// Sends a part of its body.
    func sendBody(_ bytes: [UInt8]) {
        guard !hasEnded else { return }
        noteQueued(bytes.count)
        enqueue(bytes)
        resumeIfDeferred()
        updateHeldBytes()
        server.sentSomething()
    }

    /// The answer is complete.
    func endWeb() {
        guard !hasEnded else { return }
        ended(.ok)
        // What is left of the request is taken, though nobody wants it.
        if isReadingPaused { applyReading(true) }
        outboundEnded = true
        resumeIfDeferred()
        server.sentSomething()
    }
}
