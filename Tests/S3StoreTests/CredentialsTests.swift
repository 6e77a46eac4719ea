// Goal: credentials come from the first place that is set up, are renewed in time, and are never printed.
// Method: scripted services for web identity, container and machine; a clock that the test moves.
import Logging
import Synchronization
import T4Protocols
import Testing

@testable import S3Store

@Suite struct CredentialsTests {
    private func settings(_ change: (inout S3Settings) -> Void = { _ in }) -> S3Settings {
        var settings = S3Settings(bucket: "bucket")
        change(&settings)
        return settings
    }

    private func load(
        _ settings: S3Settings, _ variables: [String: String]
    ) async throws(CredentialsFailure) -> Credentials? {
        let transport: CurlTransport
        do throws(TransportFailure) {
            let timeouts = HTTPTimeouts(connect: .seconds(600), stall: .seconds(600), total: .seconds(600))
            transport = try CurlTransport(options: CurlOptions(timeouts: timeouts), connectionsMax: 2)
        } catch {
            throw CredentialsFailure("\(error)")
        }
        let services = CredentialServices(
            transport: transport, environment: .test(variables), region: "eu-west-1")
        let source = try CredentialsChain.source(settings, services: services)
        return try await source?.load()
    }

    private static let json =
        #"{"Code":"Success","AccessKeyId":"ID","SecretAccessKey":"SECRET","Token":"T","#
        + #""Expiration":"2013-05-24T01:00:00Z"}"#

    private func check(_ found: Credentials?) {
        #expect(found?.accessKeyID == "ID")
        #expect(found?.secretAccessKey.revealed == "SECRET")
        #expect(found?.sessionToken?.revealed == "T")
        #expect(found?.expiration == UTCTime(seconds: exampleTime.seconds + 3600))
    }

    // MARK: - Places

    @Test func settingsComeBeforeTheEnvironment() async throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("secret", "from-file\n")
        let ambient = ["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"]
        let fixed = settings {
            $0.accessKeyID = "SET"
            $0.secretAccessKeyFile = file
        }
        let found = try await load(fixed, ambient)
        #expect(found?.accessKeyID == "SET" && found?.secretAccessKey.revealed == "from-file")
        #expect(found?.sessionToken == nil)
        let environment = try await load(settings(), ambient)
        #expect(environment?.accessKeyID == "ENV" && environment?.sessionToken?.revealed == "t")
        #expect(try await load(settings { $0.isAnonymous = true }, ambient) == nil)
    }

    @Test func profilesComeOutOfBothFiles() async throws {
        let folder = try TemporaryFolder()
        let variables = [
            "AWS_CONFIG_FILE": try folder.write(
                "config",
                """
                # a comment
                [default]
                region = eu-west-3
                [profile  other]
                region=ap-south-1
                s3 =
                  addressing_style = path
                aws_access_key_id = IGNORED
                """),
            "AWS_SHARED_CREDENTIALS_FILE": try folder.write(
                "credentials",
                """
                [default]
                aws_access_key_id = DEFAULT
                aws_secret_access_key = a=b
                [other]
                aws_access_key_id = OTHER
                aws_secret_access_key = s
                aws_session_token = t
                """),
        ]
        let found = try await load(settings(), variables)
        #expect(found?.accessKeyID == "DEFAULT" && found?.secretAccessKey.revealed == "a=b")
        let named = try await load(settings { $0.profile = "other" }, variables)
        #expect(named?.accessKeyID == "OTHER" && named?.sessionToken?.revealed == "t")
        let byVariable = try await load(settings(), variables.merging(["AWS_PROFILE": "other"]) { $1 })
        #expect(byVariable?.accessKeyID == "OTHER")
        // What the settings name comes before what merely lies around.
        let keys = ["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"]
        #expect(
            try await load(settings { $0.profile = "other" }, variables.merging(keys) { $1 })?.accessKeyID == "OTHER")
        let profile = try SharedProfile.load("other", environment: .test(variables))
        #expect(profile?["region"] == "ap-south-1" && profile?["addressing_style"] == nil)
        await #expect(throws: CredentialsFailure.self) {
            _ = try await load(settings { $0.profile = "none" }, variables)
        }
    }

    @Test func nothingAtAllIsAnError() async throws {
        await #expect(throws: CredentialsFailure.self) { _ = try await load(settings(), [:]) }
    }

    @Test func exchangesAWebIdentity() async throws {
        let folder = try TemporaryFolder()
        let token = try folder.write("token", "to.ken+\n")
        let server = try ScriptedServer(
            .answer(
                200,
                body: "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                    + "<SessionToken>T</SessionToken><SecretAccessKey>SECRET</SecretAccessKey>"
                    + "<Expiration>2013-05-24T01:00:00Z</Expiration><AccessKeyId>ID</AccessKeyId></Credentials>"
                    + "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"))
        let variables = [
            "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
            "AWS_ENDPOINT_URL_STS": server.endpoint,
        ]
        check(try await load(settings(), variables))
        #expect(
            server.requests[0].text
                == "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=t4"
                + "&Version=2011-06-15&WebIdentityToken=to.ken%2B")
        #expect(server.requests[0]["Authorization"] == nil)
        server.stop()
    }

    @Test func asksTheContainersAgent() async throws {
        let folder = try TemporaryFolder()
        let server = try ScriptedServer(.answer(200, body: Self.json))
        let variables = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(server.endpoint)/creds?a=b",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": try folder.write("token", "Bearer x\n"),
        ]
        check(try await load(settings(), variables))
        #expect(server.requests[0].target == "/creds?a=b")
        #expect(server.requests[0]["Authorization"] == "Bearer x")
        server.stop()
    }

    @Test(arguments: [
        ("http://127.0.0.1:80/x", true), ("http://localhost/x", true), ("https://example.org/", true),
        ("http://169.254.170.23/v1", true), ("http://[fd00:ec2::23]/v1", true), ("http://[::1]:8080/", true),
        ("http://example.org/", false), ("http://127.0.0.1.example.org/", false), ("http://169.254.169.254/", false),
        ("http://127.0.0.1@example.org/", false), ("ftp://127.0.0.1/", false), ("http://127.example.org/", false),
    ])
    func sendsTokensToTrustedAgentsOnly(_ uri: String, _ isTrusted: Bool) {
        #expect(ContainerCredentials.isTrusted(uri) == isTrusted)
    }

    @Test func asksTheMachinesMetadata() async throws {
        let server = try ScriptedServer { request in
            switch (request.method, request.target) {
            case ("PUT", "/latest/api/token"):
                request["X-aws-ec2-metadata-token-ttl-seconds"] == nil ? .answer(400) : .answer(200, body: "proof")
            case ("GET", _) where request["X-aws-ec2-metadata-token"] != "proof": .answer(401)
            case ("GET", "/latest/meta-data/iam/security-credentials/"): .answer(200, body: "role-1\n")
            case ("GET", "/latest/meta-data/iam/security-credentials/role-1"): .answer(200, body: Self.json)
            default: .answer(404)
            }
        }
        check(
            try await load(
                settings(),
                ["AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "\(server.endpoint)/"]))
        #expect(server.requests.count == 3)
        server.stop()
    }

    @Test(arguments: [
        #"{"Code":"Failed"}"#, #"{"AccessKeyId":"ID"}"#, "no JSON",
        #"{"AccessKeyId":"ID","SecretAccessKey":"s","Expiration":"tomorrow"}"#,
    ])
    func refusesAnswersThatAreNone(_ json: String) async {
        #expect(throws: CredentialsFailure.self) {
            _ = try CredentialServices.credentials(json: Array(json.utf8), origin: "a test")
        }
    }

    // MARK: - Renewal

    /// Gives credentials named 1, 2 ... that live an hour, or fails while told to.
    private final class Renewed: CredentialsSource {
        let clock: WallClock
        let count = Mutex(0)
        let fails = Mutex(false)

        init(_ clock: WallClock) { self.clock = clock }

        func load() async throws(CredentialsFailure) -> Credentials {
            let number = count.withLock { count in
                count += 1
                return count
            }
            if fails.withLock({ $0 }) { throw CredentialsFailure("away", isTemporary: true) }
            return Credentials(
                accessKeyID: "\(number)", secretAccessKey: S3Secret("s"),
                expiration: UTCTime(seconds: clock.now().seconds + 3600), origin: "a test")
        }
    }

    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test func areRenewedBeforeTheyExpire() async throws {
        let time = TestClock(1000)
        let source = Renewed(time.clock)
        let cache = CredentialsCache(source, clock: time.clock, logger: Self.quiet)
        #expect(try await cache.current().accessKeyID == "1")
        time.advance(by: 3600 - 301)
        #expect(try await cache.current().accessKeyID == "1")
        time.advance(by: 2)
        #expect(try await cache.current().accessKeyID == "2")
    }

    @Test func oldOnesStayInUseWhileARenewalFails() async throws {
        let time = TestClock(1000)
        let source = Renewed(time.clock)
        let cache = CredentialsCache(source, clock: time.clock, logger: Self.quiet)
        _ = try await cache.current()
        source.fails.withLock { $0 = true }
        time.advance(by: 3400)
        #expect(try await cache.current().accessKeyID == "1")
        #expect(try await cache.current().accessKeyID == "1")
        // One try, then a pause.
        #expect(source.count.withLock { $0 } == 2)
        time.advance(by: 31)
        #expect(try await cache.current().accessKeyID == "1")
        #expect(source.count.withLock { $0 } == 3)
        time.advance(by: 200)
        await #expect(throws: CredentialsFailure.self) { _ = try await cache.current() }
        source.fails.withLock { $0 = false }
        #expect(try await cache.current().accessKeyID == "5")
    }

    @Test func oneRenewalServesAllWhoWait() async throws {
        let time = TestClock(1000)
        let source = Renewed(time.clock)
        let cache = CredentialsCache(source, clock: time.clock, logger: Self.quiet)
        let names = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<50 { group.addTask { try await cache.current().accessKeyID } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(names == ["1"])
    }

    @Test func refusedOnesAreForgotten() async throws {
        let time = TestClock(1000)
        let source = Renewed(time.clock)
        let cache = CredentialsCache(source, clock: time.clock, logger: Self.quiet)
        let first = try await cache.current()
        cache.invalidate(first)
        let second = try await cache.current()
        #expect(second.accessKeyID == "2")
        // Somebody else found out later that the first ones are no good.
        cache.invalidate(first)
        #expect(try await cache.current() == second)
    }

    @Test func secretsAreNotPrinted() throws {
        let credentials = Credentials(
            accessKeyID: "ID", secretAccessKey: S3Secret("hidden-1"), sessionToken: S3Secret("hidden-2"), origin: "x")
        var dumped = ""
        dump(credentials, to: &dumped)
        var settings = S3Settings(bucket: "b")
        settings.secretAccessKey = S3Secret("hidden-3")
        dump(settings, to: &dumped)
        for text in ["\(credentials)", String(reflecting: credentials), "\(settings)", dumped] {
            #expect(!text.contains("hidden"))
        }
    }
}
