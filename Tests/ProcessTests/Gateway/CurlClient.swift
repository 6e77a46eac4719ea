import Foundation

/// Asks a server over TLS with the command curl.
struct CurlClient: HTTPClient {
    let port: Int
    /// The file with the certificate of the server's CA.
    let authority: String
    /// Asks again where curl was too late.
    var isPatient = false
    /// As which version of HTTP to ask for.
    var options = ["--http2"]

    /// What curl says when a server that has answered resets the stream, as etcd does, while the request is on its way.
    private static let curlIsTooLate = "curl: (92) Stream error in the HTTP/2 framing layer"

    func answer(
        _ method: String, _ path: String, _ body: String? = nil, headers: [(name: String, value: String)] = [],
        lineCount: Int? = nil
    ) async throws -> WebAnswer {
        while true {
            let answer = try await answerOnce(method, path, body, headers, lineCount)
            if !isPatient || answer.status != 0 || !answer.body.hasPrefix(Self.curlIsTooLate) { return answer }
        }
    }

    private func answerOnce(
        _ method: String, _ path: String, _ body: String?, _ headers: [(name: String, value: String)], _ lineCount: Int?
    ) async throws -> WebAnswer {
        var arguments =
            ["curl", "--silent", "--show-error", "--no-buffer", "--include", "--cacert", authority] + options
        arguments += method == "HEAD" ? ["--head"] : ["--request", method]
        arguments += ["--request-target", path]
        // What curl would add.
        for name in ["Accept", "Content-Type", "User-Agent"] { arguments += ["--header", "\(name):"] }
        for (name, value) in headers { arguments += ["--header", value.isEmpty ? "\(name);" : "\(name): \(value)"] }
        if body != nil || method == "POST" { arguments += ["--data-binary", "@-"] }
        let process = try ChildProcess(
            "/usr/bin/env", arguments + ["https://127.0.0.1:\(port)/"], environment: TestEnvironment.forChildren)
        process.write(Array((body ?? "").utf8))
        process.closeInput()
        do {
            let bytes = try await process.output.wait(for: "an answer to \(method) \(path)", within: .seconds(600)) {
                said in
                guard !said.ended, let lineCount else { return said.ended ? said.bytes : nil }
                return (WebAnswer(said.bytes)?.body.count { $0 == "\n" } ?? 0) >= lineCount ? said.bytes : nil
            }
            await process.destroy()
            if let answer = WebAnswer(bytes, method: method) { return answer }
            // What curl says where there is no answer: the stream was reset, and why.
            let complaint = try await process.errors.wait(for: "all that curl has to say", within: .seconds(600)) {
                $0.ended ? "\($0)" : nil
            }
            guard let answer = WebAnswer("HTTP/2 0 no answer\r\n\r\n\(complaint)".utf8) else {
                throw ProcessFailure("no answer to \(method) \(path): \(complaint)")
            }
            return answer
        } catch {
            await process.destroy()
            throw error
        }
    }
}
