import CCurl

/// What an easy handle needs beyond one request.
struct CurlOptions: Sendable {
    var timeouts: HTTPTimeouts
    /// PEM file of certificate authorities; nil for the system's.
    var caFile: String?

    /// Servers close kept connections after a while; one that has idled longer than this is not used again.
    static let idleSecondsMax = 15
}

/// One request on its way: an easy handle and the memory that it points into.
///
/// Belongs to the thread of the multi handle; libcurl calls back on that thread, inside `curl_multi_perform`.
final class CurlTransfer {
    /// Most bytes of the body of an answer that tells of an error.
    private static let errorBodySizeMax = 1 << 20

    let handle: UnsafeMutableRawPointer
    private let request: HTTPRequest
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private let message: UnsafeMutablePointer<CChar>
    private var bodyOffset = 0
    private var response = HTTPResponse(status: 0, headers: [:], body: [])
    private var hasWholeHead = false
    private var isTooLarge = false

    /// Prepares the transfer.
    /// - Parameter timeLeft: Until the request's deadline; positive.
    init(_ request: HTTPRequest, options: CurlOptions, timeLeft: Duration) throws(TransportFailure) {
        guard let handle = curl_easy_init() else {
            throw TransportFailure(reason: .broken, wasSent: false, description: "libcurl has no memory for a request")
        }
        self.handle = handle
        self.request = request
        message = .allocate(capacity: Int(CURL_ERROR_SIZE))
        message.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        let code = setUp(options, timeLeft: timeLeft)
        guard code == CURLE_OK else {
            throw TransportFailure(
                reason: .broken, wasSent: false,
                description: "libcurl refuses \(request.url): \(String(cString: curl_easy_strerror(code)))")
        }
    }

    deinit {
        curl_easy_cleanup(handle)
        curl_slist_free_all(headerList)
        message.deallocate()
    }

    /// What the transfer came to, once libcurl says that it is done.
    func result(_ code: CURLcode) -> Result<HTTPResponse, TransportFailure> {
        if code == CURLE_OK {
            // libcurl is content with a connection that ends in the middle of the headers.
            if hasWholeHead { return .success(response) }
            return .failure(
                TransportFailure(reason: .broken, wasSent: true, description: "the connection ended within the answer"))
        }
        if isTooLarge {
            return .failure(
                TransportFailure(
                    reason: .tooLarge, wasSent: true,
                    description: "the answer of \(request.url) has more than \(request.bodySizeMax) bytes"))
        }
        var sent = 0
        checkCurl(t4_curl_get_long(handle, CURLINFO_REQUEST_SIZE, &sent))
        let detail = String(cString: message)
        return .failure(
            TransportFailure(
                reason: code == CURLE_OPERATION_TIMEDOUT ? .timedOut : .broken, wasSent: sent > 0,
                description: detail.isEmpty ? String(cString: curl_easy_strerror(code)) : detail))
    }

    private func setUp(_ options: CurlOptions, timeLeft: Duration) -> CURLcode {
        let timeouts = request.timeouts ?? options.timeouts
        var setter = CurlSetter(handle: handle)
        setter.set(CURLOPT_URL, request.url)
        setter.set(CURLOPT_PATH_AS_IS, 1)
        setter.set(CURLOPT_PROTOCOLS_STR, "http,https")
        setter.set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        setter.set(CURLOPT_NOSIGNAL, 1)
        // A cancelled name look-up must not hold up the thread.
        setter.set(CURLOPT_QUICK_EXIT, 1)
        setter.set(CURLOPT_TCP_KEEPALIVE, 1)
        setter.set(CURLOPT_MAXAGE_CONN, CurlOptions.idleSecondsMax)
        setter.set(CURLOPT_CONNECTTIMEOUT_MS, timeouts.connect.milliseconds)
        setter.set(CURLOPT_TIMEOUT_MS, timeLeft.milliseconds)
        setter.set(CURLOPT_LOW_SPEED_LIMIT, 1)
        setter.set(CURLOPT_LOW_SPEED_TIME, max(1, timeouts.stall.milliseconds / 1000))
        if let caFile = options.caFile { setter.set(CURLOPT_CAINFO, caFile) }
        if request.bypassesProxy { setter.set(CURLOPT_NOPROXY, "*") }
        setter.set(CURLOPT_ERRORBUFFER, pointer: message)
        setBody(&setter)
        setHeaders(&setter)
        setCallbacks(&setter)
        return setter.code
    }

    private func setBody(_ setter: inout CurlSetter) {
        switch request.method {
        case .get: setter.set(CURLOPT_HTTPGET, 1)
        case .head: setter.set(CURLOPT_NOBODY, 1)
        case .delete: setter.set(CURLOPT_CUSTOMREQUEST, HTTPMethod.delete.rawValue)
        case .put, .post:
            setter.set(CURLOPT_UPLOAD, 1)
            setter.set(CURLOPT_CUSTOMREQUEST, request.method.rawValue)
            setter.set(CURLOPT_INFILESIZE_LARGE, offset: request.body.count)
        }
        // Without a body there is nothing to rewind, which is what stops libcurl from repeating the request.
        if !request.mayRepeat && request.body.isEmpty { setter.set(CURLOPT_FRESH_CONNECT, 1) }
    }

    private func setHeaders(_ setter: inout CurlSetter) {
        // libcurl adds this one by itself to large bodies; an empty value leaves it out.
        var lines = ["Expect:"]
        // A header with an empty value is written with a semicolon.
        lines += request.headers.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        for line in lines {
            guard let longer = curl_slist_append(headerList, line) else {
                setter.code = CURLE_OUT_OF_MEMORY
                return
            }
            headerList = longer
        }
        setter.set(CURLOPT_HTTPHEADER, pointer: headerList)
    }

    private func setCallbacks(_ setter: inout CurlSetter) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        setter.set(CURLOPT_HEADERDATA, pointer: context)
        setter.set(CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(context!).takeUnretainedValue()
            return transfer.takeHeader(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        setter.set(CURLOPT_WRITEDATA, pointer: context)
        setter.set(CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(context!).takeUnretainedValue()
            return transfer.takeBody(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        setter.set(CURLOPT_READDATA, pointer: context)
        setter.set(CURLOPT_READFUNCTION) { bytes, size, count, context in
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(context!).takeUnretainedValue()
            return transfer.giveBody(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
        }
        setter.set(CURLOPT_SEEKDATA, pointer: context)
        setter.setSeek { context, offset, origin in
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(context!).takeUnretainedValue()
            return transfer.rewind(to: Int(offset), origin: origin)
        }
    }

    // MARK: - What libcurl calls

    /// Returns how many bytes were taken; any other number than all of them ends the transfer.
    private func takeHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        let line = String(decoding: bytes, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // The answer itself, after a 100 Continue perhaps.
            let fields = line.split(separator: " ", maxSplits: 2)
            response = HTTPResponse(status: fields.count > 1 ? Int(fields[1]) ?? 0 : 0, headers: [:], body: [])
            hasWholeHead = false
        } else if trimmingBlanks(line[...]).isEmpty {
            hasWholeHead = true
        } else if let colon = line.firstIndex(of: ":") {
            let value = line[line.index(after: colon)...]
            response.headers[line[..<colon].lowercased()] = String(trimmingBlanks(value))
        }
        return bytes.count
    }

    private func takeBody(_ bytes: UnsafeRawBufferPointer) -> Int {
        let limit = response.isSuccess ? request.bodySizeMax : Self.errorBodySizeMax
        guard response.body.count + bytes.count <= limit else {
            isTooLarge = true
            return 0
        }
        if response.body.isEmpty, let length = response.headers["content-length"].flatMap({ Int($0) }) {
            response.body.reserveCapacity(min(length, limit))
        }
        response.body.append(contentsOf: bytes)
        return bytes.count
    }

    private func giveBody(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let piece = request.body[bodyOffset...].prefix(buffer.count)
        piece.withUnsafeBytes { buffer.copyMemory(from: $0) }
        bodyOffset += piece.count
        return piece.count
    }

    /// libcurl goes back to the start in order to send the request again over another connection.
    private func rewind(to offset: Int, origin: Int32) -> Int32 {
        guard request.mayRepeat, origin == 0, (0...request.body.count).contains(offset) else {
            return CURL_SEEKFUNC_FAIL
        }
        bodyOffset = offset
        return CURL_SEEKFUNC_OK
    }
}

/// Sets options of an easy handle until one is refused.
private struct CurlSetter {
    let handle: UnsafeMutableRawPointer
    var code = CURLE_OK

    mutating func set(_ option: CURLoption, _ value: Int) { note(t4_curl_set_long(handle, option, value)) }
    mutating func set(_ option: CURLoption, _ text: String) { note(t4_curl_set_text(handle, option, text)) }
    mutating func set(_ option: CURLoption, offset: Int) {
        note(t4_curl_set_offset(handle, option, curl_off_t(offset)))
    }
    mutating func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) {
        note(t4_curl_set_pointer(handle, option, pointer))
    }
    mutating func set(_ option: CURLoption, _ callback: t4_curl_data_callback) {
        note(t4_curl_set_data_callback(handle, option, callback))
    }
    mutating func setSeek(_ callback: t4_curl_seek_callback) { note(t4_curl_set_seek_callback(handle, callback)) }

    private mutating func note(_ result: CURLcode) {
        if code == CURLE_OK { code = result }
    }
}

/// For calls that fail only when we misuse libcurl.
func checkCurl(_ code: CURLcode, _ file: StaticString = #file, _ line: UInt = #line) {
    precondition(code == CURLE_OK, "libcurl: \(String(cString: curl_easy_strerror(code)))", file: file, line: line)
}

extension Duration {
    /// At least one, so that a short time never turns into libcurl's zero, "no limit".
    var milliseconds: Int {
        max(1, Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000))
    }
}
