// Goal: requests are signed as AWS does it. Method: the examples that AWS publishes for Signature Version 4.
import Testing

@testable import S3Store

@Suite struct SignatureTests {
    private static let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    private static let emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    private static func signer(_ id: String, _ secret: String, _ service: String) -> RequestSigner {
        RequestSigner(
            credentials: Credentials(accessKeyID: id, secretAccessKey: S3Secret(secret), origin: "a test"),
            region: "us-east-1", service: service)
    }

    struct Example: Sendable, CustomTestStringConvertible {
        var name: String
        var method = HTTPMethod.get
        var path = "/"
        var query: [QueryItem] = []
        var headers: [HTTPHeader] = []
        var body = ""
        var signedHeaders: String
        var signature: String

        var testDescription: String { name }
    }

    static let examples = [
        Example(
            name: "get an object", path: "/test.txt", headers: [HTTPHeader("Range", "bytes=0-9")],
            signedHeaders: "host;range;x-amz-content-sha256;x-amz-date",
            signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        Example(
            name: "put an object", method: .put, path: "/\(PercentEncoding.encode("test$file.text"))",
            headers: [
                HTTPHeader("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                HTTPHeader("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ], body: "Welcome to Amazon S3.",
            signedHeaders: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        Example(
            name: "a parameter without a value", query: [QueryItem("lifecycle")],
            signedHeaders: "host;x-amz-content-sha256;x-amz-date",
            signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        Example(
            name: "list a bucket", query: [QueryItem("prefix", "J"), QueryItem("max-keys", "2")],
            signedHeaders: "host;x-amz-content-sha256;x-amz-date",
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ]

    @Test(arguments: examples)
    func signsTheExamplesOfS3(_ example: Example) {
        let hash = hex(Digests.sha256(Array(example.body.utf8)))
        let headers =
            [
                HTTPHeader("Host", "examplebucket.s3.amazonaws.com"), HTTPHeader("x-amz-content-sha256", hash),
                HTTPHeader("x-amz-date", "20130524T000000Z"),
            ] + example.headers
        let authorization = Self.signer("AKIAIOSFODNN7EXAMPLE", Self.secret, "s3").authorization(
            example.method, path: example.path, query: PercentEncoding.query(example.query), headers: headers,
            payloadHash: hash, at: exampleTime)
        #expect(
            authorization == "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                + "SignedHeaders=\(example.signedHeaders), Signature=\(example.signature)")
    }

    @Test func signsTheExamplesOfOtherServices() throws {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        let time = try #require(UTCTime(iso8601: "2015-08-30T12:36:00Z"))
        let iam = Self.signer("AKIDEXAMPLE", secret, "iam")
        #expect(hex(iam.key(day: "20150830")) == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9")
        let users = iam.authorization(
            .get, path: "/",
            query: PercentEncoding.query([.init("Version", "2010-05-08"), .init("Action", "ListUsers")]),
            headers: [
                HTTPHeader("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
                HTTPHeader("Host", "iam.amazonaws.com"), HTTPHeader("X-Amz-Date", "20150830T123600Z"),
            ], payloadHash: Self.emptyHash, at: time)
        #expect(users.hasSuffix("Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"))
        let vanilla = Self.signer("AKIDEXAMPLE", secret, "service").authorization(
            .get, path: "/", query: "",
            headers: [
                HTTPHeader("Host", "example.amazonaws.com"), HTTPHeader("X-Amz-Date", "20150830T123600Z"),
            ], payloadHash: Self.emptyHash, at: time)
        #expect(vanilla.hasSuffix("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"))
    }

    @Test func makesBlanksInHeadersOne() {
        func sign(_ value: String) -> String {
            Self.signer("id", "secret", "s3").authorization(
                .get, path: "/", query: "", headers: [HTTPHeader("My-Header", value)], payloadHash: "x",
                at: exampleTime)
        }
        #expect(sign("  a   b ") == sign("a b"))
        #expect(sign("a b") != sign("ab"))
    }

    @Test(arguments: [
        ("a-b._~/c", "a-b._~/c"), ("a b+c=d", "a%20b%2Bc%3Dd"), ("\u{e4}/#1?%", "%C3%A4/%231%3F%25"),
    ])
    func encodesNames(_ name: String, _ encoded: String) {
        #expect(PercentEncoding.encode(name, keepingSlashes: true) == encoded)
        #expect(PercentEncoding.decode(encoded) == name)
    }

    @Test func sortsParametersByTheirEncodedNames() {
        let query = PercentEncoding.query([.init("b", "2"), .init("a+", ""), .init("a", "/x"), .init("B", "&")])
        #expect(query == "B=%26&a=%2Fx&a%2B=&b=2")
    }

    @Test(arguments: ["%", "%4", "%zz", "%ff"]) func refusesBadEscapes(_ text: String) {
        #expect(PercentEncoding.decode(text) == nil)
    }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
    func writesBase64(_ text: String, _ encoded: String) { #expect(base64(Array(text.utf8)) == encoded) }

    @Test func computesMD5() { #expect(hex(Digests.md5(Array("abc".utf8))) == "900150983cd24fb0d6963f7d28e17f72") }

    @Test(arguments: [
        (0, "19700101T000000Z"), (951_782_400, "20000229T000000Z"), (1_709_164_799, "20240228T235959Z"),
        (1_735_689_599, "20241231T235959Z"), (1_735_689_600, "20250101T000000Z"), (4_107_542_400, "21000301T000000Z"),
    ])
    func writesTimes(_ seconds: Int, _ text: String) { #expect(UTCTime(seconds: seconds).basicText == text) }

    @Test func readsTimes() {
        #expect(UTCTime(httpDate: "Fri, 24 May 2013 00:00:00 GMT") == exampleTime)
        #expect(UTCTime(iso8601: "2013-05-24T00:00:00Z") == exampleTime)
        #expect(UTCTime(iso8601: "2013-05-24T00:00:00.250Z") == exampleTime)
        #expect(UTCTime(iso8601: "2024-02-29T23:59:59Z")?.seconds == 1_709_251_199)
        for text in ["", "2013-05-24", "2013-05-24T00:00:00", "2013-13-24T00:00:00Z", "2013-05-24T24:00:00Z"] {
            #expect(UTCTime(iso8601: text) == nil)
        }
        for text in ["", "Fri, 24 May 2013 00:00:00 CET", "Fri, 24 Mai 2013 00:00:00 GMT"] {
            #expect(UTCTime(httpDate: text) == nil)
        }
    }
}
