// Goal: listings are in order and complete, deletes tell which objects are left. Method: a scripted server.
import T4Protocols
import Testing

@testable import S3Store

@Suite struct ListAndDeleteTests {
    private static func page(_ names: [String], more: String = "", encoded: Bool = true) -> Reply {
        let entries = names.map {
            "<Contents><Key>\($0)</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>"
        }
        return .answer(
            200,
            body: "<ListBucketResult>\(encoded ? "<EncodingType>url</EncodingType>" : "")\(more)\(entries.joined())"
                + "</ListBucketResult>")
    }

    @Test func listsAPage() async throws {
        let server = try ScriptedServer(Self.page(["a/1+%2B", "a/%C3%A4"], more: "<IsTruncated>true</IsTruncated>"))
        try await withStore(server) { store in
            let page = try await store.list(prefix: "a/", after: "a/0 &", limit: 2)
            #expect(page.objects.map(\.key.rawValue) == ["a/1 +", "a/\u{e4}"])
            #expect(page.objects[0] == ObjectInfo(key: "a/1 +", size: 3, version: ObjectVersion("\"e\"")))
            #expect(page.hasMore)
        }
        #expect(
            server.requests[0].target
                == "/bucket/?encoding-type=url&list-type=2&max-keys=2&prefix=a%2F&start-after=a%2F0%20%26")
    }

    @Test func takesNamesThatAreNotEncoded() async throws {
        let server = try ScriptedServer(Self.page(["a+b%2B"], encoded: false))
        try await withStore(server) { store in
            let page = try await store.list(prefix: "", after: nil, limit: 1000)
            #expect(page.objects.map(\.key.rawValue) == ["a+b%2B"])
            #expect(!page.hasMore)
        }
    }

    @Test func goesPastEmptyPages() async throws {
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t/1</NextContinuationToken>"
        let server = try ScriptedServer(Self.page([], more: more), Self.page(["a"]))
        try await withStore(server) { store in
            let page = try await store.list(prefix: "", after: nil, limit: 5)
            #expect(page.objects.count == 1)
        }
        #expect(server.requests[1].target.contains("continuation-token=t%2F1"))
    }

    @Test func refusesEmptyPagesWithoutEnd() async throws {
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        let server = try ScriptedServer(Self.page([], more: more))
        try await withStore(server) { store in
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await store.list(prefix: "", after: nil, limit: 5) }
                    == .unsupported)
        }
    }

    @Test(arguments: [["b", "a"], ["a", "a"], ["x"], ["0"], ["a%2"]])
    func refusesListingsThatAreNone(_ names: [String]) async throws {
        let server = try ScriptedServer(Self.page(names.map { $0 == "x" ? "x" : "p/\($0)" }))
        try await withStore(server) { store in
            #expect(
                await code { () throws(ObjectStoreError) in
                    _ = try await store.list(prefix: "p/", after: "p/5", limit: 5)
                } == .unsupported)
        }
    }

    @Test(arguments: [0, 1001, -1]) func refusesLimits(_ limit: Int) async throws {
        let server = try ScriptedServer(.hangUp)
        try await withStore(server) { store in
            #expect(
                await code { () throws(ObjectStoreError) in
                    _ = try await store.list(prefix: "", after: nil, limit: limit)
                } == .invalidArgument)
        }
    }

    @Test(arguments: [
        (Reply.error(404, "NoSuchBucket"), ObjectStoreError.Code.invalidArgument),
        (.answer(200, body: "<html/>"), .unsupported), (.error(500, "InternalError"), .unavailable),
    ])
    func tellsWhyThereIsNoListing(_ reply: Reply, _ expected: ObjectStoreError.Code) async throws {
        let server = try ScriptedServer(reply)
        try await withStore(server) { store in
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await store.list(prefix: "", after: nil, limit: 5) }
                    == expected)
        }
    }

    // MARK: - Delete

    @Test func deletesMany() async throws {
        let server = try ScriptedServer(.answer(200, body: "<DeleteResult/>"))
        let keys = (0..<1500).map { ObjectKey("k<\($0)>&") }
        try await withStore(server) { store in try await store.delete(keys) }
        let requests = server.requests
        try #require(requests.count == 2)
        #expect(requests[0].method == "POST" && requests[0].target == "/bucket/?delete=")
        #expect(requests[0]["Content-MD5"] == base64(Digests.md5(requests[0].body)))
        let root = try #require(XMLElement(parsing: requests[0].body))
        #expect(root.all("Object").compactMap { $0["Key"]?.text } == keys.prefix(1000).map(\.rawValue))
        #expect(root["Quiet"]?.text == "true")
        #expect(requests[1].text.contains("k&lt;1499&gt;&amp;"))
    }

    @Test func deletesOneByItself() async throws {
        let server = try ScriptedServer(.answer(204), .error(404, "NoSuchKey"), .error(404, "NoSuchBucket"))
        try await withStore(server) { store in
            try await store.delete(["a"])
            try await store.delete(["a"])
            #expect(await code { () throws(ObjectStoreError) in try await store.delete(["a"]) } == .invalidArgument)
            try await store.delete([])
        }
        #expect(server.requests.map(\.method) == ["DELETE", "DELETE", "DELETE"])
    }

    @Test(arguments: [("AccessDenied", ObjectStoreError.Code.permissionDenied), ("InternalError", .unavailable)])
    func tellsOfObjectsThatStay(_ error: String, _ expected: ObjectStoreError.Code) async throws {
        let server = try ScriptedServer(
            .answer(
                200,
                body: "<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code></Error>"
                    + "<Error><Key>b</Key><Code>\(error)</Code><Message>m</Message></Error></DeleteResult>"))
        try await withStore(server) { store in
            do throws(ObjectStoreError) {
                try await store.delete(["a", "b"])
                Issue.record("the delete succeeded")
            } catch {
                #expect(error.code == expected)
                #expect(error.message.contains("1 of 2") && error.message.contains("b: "))
            }
        }
    }

    @Test func deletesOneByOneWhereThereIsNoRequestForMany() async throws {
        let server = try ScriptedServer { request in
            request.method == "POST" ? .error(501, "NotImplemented") : .answer(204)
        }
        try await withStore(server) { store in
            try await store.delete((0..<40).map { ObjectKey("k\($0)") })
            try await store.delete(["x", "y"])
        }
        #expect(server.requests.count { $0.method == "POST" } == 1)
        #expect(Set(server.requests.filter { $0.method == "DELETE" }.map(\.target)).count == 42)
    }
}
