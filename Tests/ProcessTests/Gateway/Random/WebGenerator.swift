import T4Conformance

/// Makes random scripts of requests over HTTP. The same seed makes the same script.
///
/// What would only show what `KnownDifference` lists, or end etcd's process, is left out.
struct WebGenerator {
    /// The name of a call's path and what goes with it.
    struct Call {
        var path: String
        var body: JSONPiece
        /// Spelled without mistakes that would make another request of it: what then happens is known to differ, never
        /// ends, or depends on the time.
        var isStrict = false
        /// The answer goes on.
        var isEndless = false
    }

    var generator: StepGenerator
    /// Nil while nobody is asked for a name.
    var user: String?

    init(seed: UInt64) { generator = StepGenerator(seed: seed, hasEmptyRanges: false) }

    /// A script of about `count` requests.
    static func script(seed: UInt64, count: Int) -> [RequestTable.Step] {
        var generator = WebGenerator(seed: seed)
        var steps: [RequestTable.Step] = []
        // Some scripts have users from some point on.
        let plain = generator.chance(50) ? count : count * 2 / 3
        while steps.count < plain { steps += generator.next() }
        guard plain < count else { return steps }
        steps += generator.usersBegin()
        while steps.count < count { steps.append(generator.connection()) }
        return steps
    }

    mutating func chance(_ percent: UInt64) -> Bool { generator.chance(percent) }

    private mutating func next() -> [RequestTable.Step] {
        guard chance(1), chance(30) else { return [connection()] }
        let alarm = #"{"memberID":5,"alarm":"NOSPACE","action":"#
        return [plain("maintenance/alarm", alarm + "\"ACTIVATE\"}"), connection(), connection()]
            + [plain("maintenance/alarm", alarm + "\"DEACTIVATE\"}")]
    }

    private func plain(_ path: String, _ body: String) -> RequestTable.Step {
        let head = "POST /v3/\(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n"
        return .raw(WebStep([head + "\r\n" + body]), line: 0)
    }

    private mutating func usersBegin() -> [RequestTable.Step] {
        user = "root"
        return [
            plain("auth/user/add", #"{"name":"root","password":"r"}"#), plain("auth/role/add", #"{"name":"root"}"#),
            plain("auth/user/grant", #"{"user":"root","role":"root"}"#),
            plain("auth/user/add", #"{"name":"alice","password":"a"}"#), plain("auth/role/add", #"{"name":"few"}"#),
            plain(
                "auth/role/grant", #"{"name":"few","perm":{"permType":"READWRITE","key":"YQ==","range_end":"YXo="}}"#),
            plain("auth/role/grant", #"{"name":"few","perm":{"permType":"READ","key":"Yg=="}}"#),
            plain("auth/user/grant", #"{"user":"alice","role":"few"}"#), plain("auth/enable", "{}"),
            .login(user: "root", password: "r"), .login(user: "alice", password: "a"),
            .login(user: "alice", password: "x"),
        ]
    }

    // MARK: Connections

    private mutating func connection() -> RequestTable.Step {
        var requests: [String] = []
        // An answer that does not end is the last one.
        let count = chance(75) ? 1 : 2 + generator.below(3)
        for _ in 1..<count { requests.append(request(call(mayBeEndless: false), isLast: false)) }
        let last = chance(10) ? nil : call(mayBeEndless: true)
        requests.append(last.map { request($0, isLast: true) } ?? otherRequest())
        return .raw(WebStep(requests, lineCount: last?.isEndless == true ? 1 : nil), line: 0)
    }

    /// What is no call of the gateway, or hardly one.
    private mutating func otherRequest() -> String {
        let paths = [
            "/health", "/health?serializable=true", "/health?exclude=NOSPACE&exclude=CORRUPT", "/version", "/", "/v3",
            "/v3/", "/v3beta", "/nope", "/v3/nope", "/v3/kv", "/v3alpha/kv/range", "/members", "/health/", "/version/",
            "/v3/kv/range", "/v3/watch", "/v3/lock/lock", "/config/local/log", "/V3/kv/range", "/v3/kv/RANGE",
            "/v2/keys/a", "/%68ealth", "/health?exclude=%4eOSPACE", "/%",
        ]
        let methods = ["GET", "GET", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"]
        var path = generator.one(of: paths)
        var method = generator.one(of: methods)
        // Without a body these would be calls, with a known or an endless answer.
        if method == "POST", path.contains("v3") { method = "PUT" }
        if path != "/%" { path = odd(path) }
        var text = "\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers()
        if method != "HEAD", chance(40) {
            text += "Content-Length: 2\r\n\r\n{}"
        } else {
            text += (method == "POST" ? "Content-Length: 0\r\n" : "") + "\r\n"
        }
        return text
    }

    private mutating func request(_ call: Call, isLast: Bool) -> String {
        var speller = JSONSpeller(generator: generator, isStrict: call.isStrict)
        var body = speller.text(call.body)
        let isDamaged = speller.generator.chance(6)
        // Another number for the target of a sort may end etcd.
        if isDamaged { body = call.isStrict || body.contains("sort") ? speller.cut(body) : speller.damaged(body) }
        generator = speller.generator
        // What follows is passed over.
        if !call.isEndless, chance(3) { body += generator.one(of: [" ", "{}", "x", "]", "{\"a\""]) }
        let isOld = isLast && chance(3)
        let path = chance(8) ? odd("/v3/" + call.path) : "/v3/" + call.path
        var head =
            "POST \(path) HTTP/1.\(isOld ? 0 : 1)\r\nHost: \(generator.one(of: ["x", "127.0.0.1:1", "[::1]", ""]))\r\n"
        if isLast { head += "Connection: close\r\n" }
        head += token()
        if chance(10) { head += timeout() }
        head += headers()
        let size = body.unicodeScalars.count
        guard !isOld, chance(12) else { return head + "Content-Length: \(size)\r\n\r\n" + body }
        if chance(30), size > 0, path == "/v3/" + call.path { head += "Expect: 100-continue\r\n" }
        return head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(body)
    }

    private mutating func chunks(_ body: String) -> String {
        var text = ""
        var rest = Array(body.unicodeScalars)[...]
        while !rest.isEmpty {
            let size = min(rest.count, 1 + generator.below(40))
            text += String(size, radix: 16, uppercase: chance(50)) + (chance(10) ? ";a=b" : "") + "\r\n"
            text.unicodeScalars.append(contentsOf: rest.prefix(size))
            text += "\r\n"
            rest = rest.dropFirst(size)
        }
        return text + "0\r\n" + (chance(10) ? "X-Trailer: a\r\n" : "") + "\r\n"
    }

    /// The path in other words, or almost.
    private mutating func odd(_ path: String) -> String {
        guard chance(60) else { return path }
        let parts = path.split(separator: "?", maxSplits: 1)
        var text = String(parts.first ?? "")
        let query = parts.count > 1 ? "?" + parts[1] : ""
        let place = text.index(text.startIndex, offsetBy: generator.below(max(1, text.count)))
        switch generator.below(14) {
        case 0: text += "/"
        case 1: text.insert("/", at: place)
        case 2, 3, 4:
            let code = String(text.utf8[place], radix: 16, uppercase: chance(50))
            text = text[..<place] + "%" + (code.count < 2 ? "0" : "") + code + text[place...].dropFirst()
        case 5: text = "/." + text
        case 6: text = "/x/.." + text
        case 7: text += "/."
        case 8: text += ":"
        case 9: text += generator.one(of: [":x", "::", "%20", "%2F", "%00", ";a", "#a", "%3Fa", "//", "/..", "+"])
        case 10: text = text.replacing("/v3/", with: "/v3beta/")
        case 11: text = "http://\(generator.one(of: ["x", "x:1", "y"]))" + text
        case 12: text += generator.one(of: ["%", "%z", "%4", "%+1"])
        default: return text + (query.isEmpty ? "?a=b&c=%zz" : query)
        }
        return text + query
    }

    // MARK: Headers

    private mutating func token() -> String {
        guard let user else { return "" }
        if user == "nobody" { return chance(50) ? "" : "Authorization: x.1\r\n" }
        return (chance(70) ? "Authorization" : "Grpc-Metadata-Token") + ": {token \(user)}\r\n"
    }

    /// Too short for nothing and long enough for all: one in between would be a matter of luck.
    private mutating func timeout() -> String {
        let times = [
            "20S", "1H", "5M", "60000m", "0S", "0n", "-0H", "-1S", "-5n", "+7M", "", "S", "5", "5x", "5 S", "0x5S",
            "1_0S",
            "9223372036854775807n", "5124096H", "5124095H", "99999999999999999999S", "5\"\\S", "\u{c3}\u{a9}S",
        ]
        return generator.one(of: ["Grpc-Timeout", "grpc-timeout", "GRPC-TIMEOUT"]) + ": "
            + generator.one(of: times) + "\r\n"
    }

    private mutating func headers() -> String {
        guard chance(25) else { return "" }
        let some = [
            "Accept: application/xml", "Accept: */*", "Content-Type: application/json", "Content-Type: text/plain",
            "Content-Type: application/grpc", "Content-Type: application/x-www-form-urlencoded",
            "Accept-Encoding: gzip",
            "Content-Encoding: gzip", "User-Agent: \u{ff}", "Cookie: a=b", "Cookie: c", "Origin: http://a.example",
            "Grpc-Metadata-Foo: bar", "Grpc-Metadata-Foo: a\u{c3}\u{a9}", "grpc-metadata-x-bin: YQ",
            "Grpc-Metadata-X-Bin: YQ==", "Grpc-Metadata-x-y-Bin: !", "Grpc-Metadata-Hasleader: true", "X-A:  b \t",
            "X-A:", "Range: bytes=0-5", "If-None-Match: *", "Grpc-Encoding: gzip", "X-Forwarded-For: 1.2",
            "X-Http-Method-Override: GET", "Keep-Alive: 5", "Accept: a\r\nAccept: b", "From: a", "Warning: b", "Via: c",
            "Grpc-Metadata-Client-Api-Version: 3.5", "X-Long: \(String(repeating: "a", count: 3000))", "Referer: x",
        ]
        var text = generator.one(of: some) + "\r\n"
        if chance(30) { text += generator.one(of: some) + "\r\n" }
        // Together they make another method of it, which t4 does not.
        return text.contains("Override") ? "X-Http-Method-Override: GET\r\n" : text
    }
}
