// Goal: settings are read as documented, and combinations that cannot work are refused. Method: JSON in their place.
import Foundation
import T4Protocols
import Testing

@testable import S3Store

@Suite struct SettingsTests {
    private func decode(_ json: String) throws -> S3Settings {
        try JSONDecoder().decode(S3Settings.self, from: Data(json.utf8))
    }

    @Test func defaults() throws {
        let settings = try decode(#"{"bucket": "b"}"#)
        #expect(settings.addressing == .auto && settings.endpoint == nil && !settings.isAnonymous)
        #expect(settings.partSizeBytes == 16 << 20 && settings.multipartThresholdBytes == 64 << 20)
        #expect(settings.connectionsMax == 64 && settings.requestTimeout == .seconds(120) && settings.asOf == nil)
    }

    @Test func everyKey() throws {
        let settings = try decode(
            #"""
            {"bucket": "b", "endpoint": "https://s3.example.org:9000/", "region": "r", "addressing": "virtual",
             "access_key_id": "i", "secret_access_key": "s", "ca_file": "/ca.pem", "part_size": "5MiB",
             "multipart_threshold": 10485760, "max_connections": 3, "connect_timeout": "250ms", "stall_timeout": "3s",
             "request_timeout": "2m", "unsigned_payload": true, "unquoted_etags": true,
             "as_of": "2024-06-01T14:00:00+02:00"}
            """#)
        #expect(settings.partSizeBytes == 5 << 20 && settings.multipartThresholdBytes == 10 << 20)
        #expect(settings.connectTimeout == .milliseconds(250) && settings.stallTimeout == .seconds(3))
        #expect(settings.requestTimeout == .seconds(120) && settings.connectionsMax == 3)
        #expect(settings.hasUnsignedPayload && settings.hasUnquotedETags && settings.caFile == "/ca.pem")
        #expect(settings.asOf == Timestamp("2024-06-01T12:00:00Z"))
        #expect(settings.accessKeyID == "i" && settings.secretAccessKey?.revealed == "s")
        let endpoint = try S3Endpoint(settings, region: "r")
        #expect(endpoint.url(path: endpoint.path("k"), query: "a=b") == "https://b.s3.example.org:9000/k?a=b")
    }

    @Test(arguments: [
        #"{}"#, #"{"bucket": ""}"#, #"{"bucket": "a/b"}"#, #"{"bucket": "b", "part_size": "1MiB"}"#,
        #"{"bucket": "b", "part_size": "16 apples"}"#, #"{"bucket": "b", "max_connections": 0}"#,
        #"{"bucket": "b", "part_size": "32MiB", "multipart_threshold": "16MiB"}"#,
        #"{"bucket": "b", "request_timeout": "0s"}"#, #"{"bucket": "b", "request_timeout": "10"}"#,
        #"{"bucket": "b", "addressing": "both"}"#, #"{"bucket": "b", "endpoint": "example.org"}"#,
        #"{"bucket": "b", "endpoint": "https://example.org/path"}"#, #"{"bucket": "b", "region": "a/b"}"#,
        #"{"bucket": "b", "access_key_id": "i"}"#, #"{"bucket": "b", "secret_access_key": "i"}"#,
        #"{"bucket": "b", "access_key_id": "i", "secret_access_key": "s", "secret_access_key_file": "f"}"#,
        #"{"bucket": "b", "anonymous": true, "profile": "p"}"#,
        #"{"bucket": "b", "endpoint": "http://example.org", "unsigned_payload": true}"#,
        #"{"bucket": "b", "as_of": "yesterday"}"#, #"{"bucket": "b", "as_of": "2024-06-01T12:00:00"}"#,
        #"{"bucket": "b", "as_of": 1717243200}"#, #"{"bucket": "b", "as_of": ""}"#,
    ])
    func refuses(_ json: String) { #expect(throws: DecodingError.self) { try decode(json) } }

    struct Address: Sendable {
        var bucket = "b"
        var endpoint: String?
        var region = "eu-west-1"
        var addressing = S3Settings.Addressing.auto
        var url: String
    }

    @Test(arguments: [
        Address(url: "https://b.s3.eu-west-1.amazonaws.com/k"),
        Address(bucket: "b.c", url: "https://s3.eu-west-1.amazonaws.com/b.c/k"),
        Address(region: "cn-north-1", url: "https://b.s3.cn-north-1.amazonaws.com.cn/k"),
        Address(addressing: .path, url: "https://s3.eu-west-1.amazonaws.com/b/k"),
        Address(endpoint: "http://127.0.0.1:9000", url: "http://127.0.0.1:9000/b/k"),
        Address(endpoint: "https://Example.org:443", url: "https://example.org/b/k"),
        Address(endpoint: "http://example.org:80/", addressing: .virtual, url: "http://b.example.org/k"),
        Address(endpoint: "https://s3.us-west-2.amazonaws.com", url: "https://b.s3.us-west-2.amazonaws.com/k"),
    ])
    func addressesTheBucket(_ address: Address) throws {
        var settings = S3Settings(bucket: address.bucket)
        settings.endpoint = address.endpoint
        settings.addressing = address.addressing
        let endpoint = try S3Endpoint(settings, region: address.region)
        #expect(endpoint.url(path: endpoint.path("k"), query: "") == address.url)
    }

    @Test(arguments: [
        (["AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"], "a"), (["AWS_DEFAULT_REGION": "b"], "b"), ([:], "us-east-1"),
    ])
    func takesTheRegionOfTheEnvironment(_ variables: [String: String], _ region: String) async throws {
        var settings = S3Settings(bucket: "b")
        settings.isAnonymous = true
        let store = try S3Store(settings, context: .test, environment: .test(variables))
        #expect(store.client.place == "bucket \"b\" at b.s3.\(region).amazonaws.com")
        await store.close()
    }

    @Test(arguments: [false, true]) func leavesBodiesOutOfTheSignatureIfToldTo(_ isUnsigned: Bool) async throws {
        var settings = S3Settings(bucket: "b")
        settings.isAnonymous = true
        settings.hasUnsignedPayload = isUnsigned
        let store = try S3Store(settings, context: .test, environment: .test())
        let hash = await store.client.payloadHash(S3Request(method: .put, key: "a", body: [1]))
        #expect(hash == (isUnsigned ? "UNSIGNED-PAYLOAD" : hex(Digests.sha256([1]))))
        await store.close()
    }
}
