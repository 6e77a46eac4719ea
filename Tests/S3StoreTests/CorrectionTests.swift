// Goal: a refusal that says how to do better is followed, once. Method: a scripted server that refuses at first.
import T4Protocols
import Testing

@testable import S3Store

@Suite struct CorrectionTests {
    private static let done = Reply.answer(200, headers: ["ETag": "\"e\""])

    private static func scope(_ request: ReceivedRequest) -> String? {
        request["Authorization"]?.split(separator: "/").dropFirst().prefix(2).joined(separator: "/")
    }

    private func put(
        _ server: ScriptedServer, environment: S3Environment = .test(), change: (inout S3Settings) -> Void = { _ in }
    ) async throws -> ObjectStoreError.Code? {
        var result: ObjectStoreError.Code?
        try await withStore(server, environment: environment, change: change) { store in
            result = await code { () throws(ObjectStoreError) in
                _ = try await store.put("a", .bytes([1]), when: .absent)
            }
        }
        return result
    }

    static let regions: [Reply] = [
        .error(400, "AuthorizationHeaderMalformed", "<Region>eu-central-1</Region>"),
        .error(301, "PermanentRedirect", headers: ["x-amz-bucket-region": "eu-central-1"]),
        .answer(307, headers: ["x-amz-bucket-region": "eu-central-1"]),
        .answer(400, headers: ["x-amz-bucket-region": "eu-central-1"]),
    ]

    @Test(arguments: regions.indices) func signsForTheRegionThatTheServiceNames(_ index: Int) async throws {
        let server = try ScriptedServer(Self.regions[index], Self.done)
        #expect(try await put(server) == nil)
        #expect(server.requests.map(Self.scope) == ["20130524/us-east-1", "20130524/eu-central-1"])
    }

    @Test func changesTheRegionOnce() async throws {
        let server = try ScriptedServer { request in
            .error(400, "AuthorizationHeaderMalformed", "<Region>r-\(Self.scope(request)!.utf8.count)</Region>")
        }
        #expect(try await put(server) == .invalidArgument)
        #expect(server.requests.count == 2)
    }

    @Test func keepsTheRegionForLaterRequests() async throws {
        let server = try ScriptedServer(Self.regions[0], Self.done)
        try await withStore(server) { store in
            for _ in 0..<2 { _ = try await store.put("a", .bytes([1]), when: .always) }
        }
        #expect(server.requests.map(Self.scope).last == "20130524/eu-central-1")
        #expect(server.requests.count == 3)
    }

    @Test func setsItsClockByTheServices() async throws {
        let late = Reply.error(403, "RequestTimeTooSkewed", headers: ["Date": "Sat, 25 May 2013 01:02:03 GMT"])
        let server = try ScriptedServer(late, Self.done)
        #expect(try await put(server) == nil)
        #expect(server.requests.map { $0["x-amz-date"] } == ["20130524T000000Z", "20130525T010203Z"])
        #expect(server.requests.map(Self.scope).last == "20130525/us-east-1")
    }

    @Test func setsItsClockAlsoByAnAnswerWithoutBody() async throws {
        let server = try ScriptedServer(
            .answer(403, headers: ["Date": "Sat, 25 May 2013 01:02:03 GMT"]),
            .answer(200, headers: ["ETag": "\"e\"", "Content-Length": "3"]))
        try await withStore(server) { store in
            let info = try await store.info("a")
            #expect(info.size == 3)
        }
        #expect(server.requests.map { $0["x-amz-date"] } == ["20130524T000000Z", "20130525T010203Z"])
    }

    @Test func setsItsClockOnce() async throws {
        let server = try ScriptedServer(
            .error(403, "RequestTimeTooSkewed", headers: ["Date": "Sat, 25 May 2013 01:02:03 GMT"]))
        #expect(try await put(server) == .permissionDenied)
        #expect(server.requests.count == 2)
    }

    @Test func followsNoRedirectAwayFromTheEndpoint() async throws {
        let other = try ScriptedServer(Self.done)
        let server = try ScriptedServer(.answer(307, headers: ["Location": "\(other.endpoint)/bucket/a"]))
        #expect(try await put(server) == .invalidArgument)
        #expect(server.requests.count == 1)
        #expect(other.requests.isEmpty)
        other.stop()
    }

    @Test func aRedirectOfAWSIsFollowedWithinAWSOnly() throws {
        let endpoint = try S3Endpoint(S3Settings(bucket: "b"), region: "us-east-1")
        #expect(endpoint.host == "b.s3.us-east-1.amazonaws.com")
        let moved = try #require(endpoint.redirected(to: "b.s3-us-west-2.amazonaws.com"))
        #expect(moved.url(path: moved.path("k"), query: "") == "https://b.s3-us-west-2.amazonaws.com/k")
        #expect(endpoint.redirected(to: "amazonaws.com.example.org") == nil)
        #expect(endpoint.redirected(to: "evil/.amazonaws.com") == nil)
        #expect(endpoint.redirected(to: endpoint.host) == nil)
    }

    @Test func fetchesOtherCredentialsWhenTheServiceCallsThemExpired() async throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("credentials", "[default]\naws_access_key_id=OLD\naws_secret_access_key=s\n")
        let server = try ScriptedServer { request in
            guard request["Authorization"]?.contains("=NEW/") == true else {
                do {
                    _ = try folder.write("credentials", "[default]\naws_access_key_id=NEW\naws_secret_access_key=s\n")
                } catch {
                    Issue.record(error)
                }
                return .error(400, "ExpiredToken")
            }
            return Self.done
        }
        let found = try await put(server, environment: .test(["AWS_SHARED_CREDENTIALS_FILE": file])) { settings in
            settings.accessKeyID = nil
            settings.secretAccessKey = nil
        }
        #expect(found == nil)
        #expect(server.requests.count == 2)
    }
}
