import Logging
import Synchronization
import T4Protocols

/// Signs and sends requests to one bucket.
///
/// Repeats a request only where the service says that it refused it, and how to do better: the region of the bucket, its
/// time of day, expired credentials, another host. Each of these once.
final class S3Client: Sendable {
    private struct State {
        var region: String
        var endpoint: S3Endpoint
        /// What the service's clock is ahead of ours, in seconds.
        var clockOffset = 0
    }

    /// A refusal that another try can put right.
    private enum Correction {
        case clock(offset: Int)
        case region(String)
        case host(S3Endpoint)
        case credentials
    }

    private struct Tried {
        var clock = false
        var region = false
        var host = false
        var credentials = false
    }

    let settings: S3Settings
    let transport: CurlTransport
    private let credentials: CredentialsCache?
    private let clock: WallClock
    let logger: Logger
    private let state: Mutex<State>
    /// For work that blocks or takes long: large hashes, files.
    let background = BackgroundWork()

    init(_ settings: S3Settings, environment: S3Environment, logger: Logger) throws(ObjectStoreError) {
        self.settings = settings
        self.logger = logger
        clock = environment.clock
        let region = try Self.region(settings, environment)
        state = Mutex(State(region: region, endpoint: try S3Endpoint(settings, region: region)))
        do throws(TransportFailure) {
            transport = try CurlTransport(
                options: CurlOptions(
                    timeouts: HTTPTimeouts(
                        connect: settings.connectTimeout, stall: settings.stallTimeout,
                        total: settings.requestTimeout),
                    caFile: settings.caFile),
                connectionsMax: settings.connectionsMax)
        } catch {
            throw ObjectStoreError(.unavailable, "the s3 store cannot start", cause: error)
        }
        do throws(CredentialsFailure) {
            let services = CredentialServices(transport: transport, environment: environment, region: region)
            credentials = try CredentialsChain.source(settings, services: services)
                .map { CredentialsCache($0, clock: environment.clock, logger: logger) }
        } catch {
            throw ObjectStoreError(.permissionDenied, error.description)
        }
    }

    /// The bucket and the host, for messages.
    var place: String { state.withLock { "bucket \"\($0.endpoint.bucket)\" at \($0.endpoint.host)" } }

    /// Sends a request; an answer of any status is a result.
    func send(_ request: S3Request, isCancellable: Bool = true) async throws(S3Failure) -> S3Answer {
        let payloadHash = await payloadHash(request)
        var tried = Tried()
        var host: S3Endpoint?
        while true {
            let keys = try await currentCredentials()
            var state = self.state.withLock { $0 }
            if let host { state.endpoint = host }
            let signed = sign(request, keys, state, payloadHash)
            let answer: S3Answer
            do throws(TransportFailure) {
                answer = S3Answer(try await transport.send(signed, isCancellable: isCancellable), to: request)
            } catch {
                throw .transport(error)
            }
            guard let correction = correction(answer, request, state, keys, &tried) else { return answer }
            logger.info("an s3 request is repeated", metadata: ["s3.reason": "\(answer.summary)"])
            switch correction {
            case .clock(let offset): self.state.withLock { $0.clockOffset = offset }
            case .region(let region): move(to: region)
            case .host(let endpoint): host = endpoint
            case .credentials: if let keys { credentials?.invalidate(keys) }
            }
        }
    }

    private func currentCredentials() async throws(S3Failure) -> Credentials? {
        do throws(CredentialsFailure) {
            return try await credentials?.current()
        } catch {
            throw .credentials(error)
        }
    }

    // MARK: - Signing

    /// What the signature says of the body.
    func payloadHash(_ request: S3Request) async -> String {
        if settings.hasUnsignedPayload && !request.body.isEmpty { return RequestSigner.unsignedPayload }
        guard request.body.count > 1 << 20 else { return hex(Digests.sha256(request.body)) }
        return await background.run { hex(Digests.sha256(request.body)) }
    }

    private func sign(
        _ request: S3Request, _ keys: Credentials?, _ state: State, _ payloadHash: String
    ) -> HTTPRequest {
        let path = state.endpoint.path(request.key)
        let query = PercentEncoding.query(request.query)
        let time = UTCTime(seconds: clock.now().seconds + state.clockOffset)
        var headers = [
            HTTPHeader("Host", state.endpoint.host), HTTPHeader("x-amz-content-sha256", payloadHash),
            HTTPHeader("x-amz-date", time.basicText),
        ]
        headers += request.headers
        if request.needsMD5 || payloadHash == RequestSigner.unsignedPayload {
            headers.append(HTTPHeader("Content-MD5", base64(Digests.md5(request.body))))
        }
        if let keys {
            if let token = keys.sessionToken { headers.append(HTTPHeader("x-amz-security-token", token.revealed)) }
            let signer = RequestSigner(credentials: keys, region: state.region, service: "s3")
            let authorization = signer.authorization(
                request.method, path: path, query: query, headers: headers, payloadHash: payloadHash, at: time)
            headers.append(HTTPHeader("Authorization", authorization))
        }
        headers.append(HTTPHeader("User-Agent", "t4"))
        return HTTPRequest(
            method: request.method, url: state.endpoint.url(path: path, query: query), headers: headers,
            body: request.body, mayRepeat: request.mayRepeat, bodySizeMax: request.bodySizeMax)
    }

    // MARK: - Corrections

    /// What would make the service accept the request, unless that was tried before.
    private func correction(
        _ answer: S3Answer, _ request: S3Request, _ state: State, _ keys: Credentials?, _ tried: inout Tried
    ) -> Correction? {
        guard !answer.isSuccess else { return nil }
        if !tried.clock, let offset = clockOffset(answer, request, state) {
            tried.clock = true
            return .clock(offset: offset)
        }
        // A missing name is no answer about the region; the other statuses say that the request was not carried out.
        if [301, 307, 400].contains(answer.status) {
            if !tried.region, let region = answer.region, region != state.region {
                tried.region = true
                return .region(region)
            }
            if !tried.host, let host = answer.redirectHost, let endpoint = state.endpoint.redirected(to: host) {
                tried.host = true
                return .host(endpoint)
            }
        }
        if !tried.credentials, let keys, isExpired(answer, request, keys) {
            tried.credentials = true
            return .credentials
        }
        return nil
    }

    private func clockOffset(_ answer: S3Answer, _ request: S3Request, _ state: State) -> Int? {
        guard answer.status == 403, let date = answer.response.headers["date"].flatMap({ UTCTime(httpDate: $0) })
        else { return nil }
        let offset = date.seconds - clock.now().seconds
        // The answer to a HEAD has no body to name the reason. The service allows 15 minutes.
        let isHeadTooSkewed = request.method == .head && abs(offset - state.clockOffset) > 14 * 60
        return answer.code == "RequestTimeTooSkewed" || isHeadTooSkewed ? offset : nil
    }

    private func isExpired(_ answer: S3Answer, _ request: S3Request, _ keys: Credentials) -> Bool {
        if let code = answer.code { return ["ExpiredToken", "TokenRefreshRequired"].contains(code) }
        return request.method == .head && answer.status == 400 && keys.sessionToken != nil
    }

    private func move(to region: String) {
        do throws(ObjectStoreError) {
            let endpoint = try S3Endpoint(settings, region: region)
            state.withLock { state in
                state.region = region
                state.endpoint = endpoint
            }
        } catch {
            logger.warning("the service names a region that is none", metadata: ["error": "\(error)"])
        }
    }

    private static func region(
        _ settings: S3Settings, _ environment: S3Environment
    ) throws(ObjectStoreError) -> String {
        if let region = settings.region ?? environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"] {
            return region
        }
        do throws(CredentialsFailure) {
            let name = settings.profile ?? environment["AWS_PROFILE"] ?? "default"
            return try SharedProfile.load(name, environment: environment)?["region"] ?? "us-east-1"
        } catch {
            throw ObjectStoreError(.permissionDenied, error.description)
        }
    }
}
