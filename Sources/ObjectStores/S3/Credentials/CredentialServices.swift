import FoundationEssentials

/// What sources that ask a service need.
struct CredentialServices: Sendable {
    let transport: CurlTransport
    let environment: S3Environment
    /// For the regional endpoint of STS.
    let region: String

    /// Most bytes of an answer.
    static let answerSizeMax = 64 << 10

    /// Services beside this machine answer at once or are not there.
    static let localTimeouts = HTTPTimeouts(connect: .seconds(1), stall: .seconds(2), total: .seconds(4))
    static let remoteTimeouts = HTTPTimeouts(connect: .seconds(3), stall: .seconds(5), total: .seconds(15))

    /// Sends a request of a refresh, which goes on when the caller that began it is cancelled: others wait for it too.
    func send(_ request: HTTPRequest, to service: String) async throws(CredentialsFailure) -> HTTPResponse {
        let response: HTTPResponse
        do throws(TransportFailure) {
            response = try await transport.send(request, isCancellable: false)
        } catch {
            throw CredentialsFailure("\(service): \(error)", isTemporary: true)
        }
        guard response.isSuccess else {
            throw CredentialsFailure(
                "\(service) answered \(response.status)", isTemporary: response.status >= 500 || response.status == 429)
        }
        return response
    }

    /// Reads the keys out of the JSON of the container and instance services.
    static func credentials(json: [UInt8], origin: String) throws(CredentialsFailure) -> Credentials {
        let answer: Answer
        do {
            answer = try JSONDecoder().decode(Answer.self, from: Data(json))
        } catch {
            throw CredentialsFailure("the answer of \(origin) is not the expected JSON", isTemporary: true)
        }
        if let code = answer.Code, code != "Success" {
            throw CredentialsFailure("\(origin) answered with code \(code)", isTemporary: true)
        }
        guard let id = answer.AccessKeyId, let secret = answer.SecretAccessKey else {
            throw CredentialsFailure("the answer of \(origin) holds no keys", isTemporary: true)
        }
        return Credentials(
            accessKeyID: id, secretAccessKey: S3Secret(secret), sessionToken: answer.Token.map { S3Secret($0) },
            expiration: try expiration(answer.Expiration, origin: origin), origin: origin)
    }

    /// Reads the time of expiry; a text that is there must be one, or the keys would be used for ever.
    static func expiration(_ text: String?, origin: String) throws(CredentialsFailure) -> UTCTime? {
        guard let text else { return nil }
        guard let time = UTCTime(iso8601: text) else {
            throw CredentialsFailure("\(origin) gave an expiration that is no time", isTemporary: true)
        }
        return time
    }

    /// The names are the service's.
    private struct Answer: Decodable {
        var Code: String?
        var AccessKeyId: String?
        var SecretAccessKey: String?
        var Token: String?
        var Expiration: String?
    }

    /// A token file's content without the line end.
    static func token(file: String) throws(CredentialsFailure) -> String {
        do {
            let token = trimmingBlanks(Substring(try SmallFile.text(file) ?? ""))
            guard !token.isEmpty else { throw CredentialsFailure("the token file \(file) is missing or empty") }
            return String(token)
        } catch let failure as CredentialsFailure {
            throw failure
        } catch {
            throw CredentialsFailure("\(error)")
        }
    }
}
