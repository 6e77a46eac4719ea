// Goal: the answers of S3 are read, and nothing else is taken for one. Method: texts, whole and damaged.
import Testing

@testable import S3Store

@Suite struct XMLTests {
    private func parse(_ text: String) -> XMLElement? { XMLElement(parsing: Array(text.utf8)) }

    @Test func readsElementsTextAndEntities() throws {
        let root = try #require(
            parse(
                """
                 <?xml version="1.0" encoding="UTF-8"?>
                <!-- made by hand -->
                <s3:List xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/" a='"'>
                  <Key>a&amp;b&lt;&gt;&quot;&apos;&#x4e;&#228;</Key><Empty/><Key >second</Key ><!-- - --><Sub><Key>x</Key></Sub>
                </s3:List>
                """))
        #expect(root.name == "List")
        #expect(root.all("Key").map(\.text) == ["a&b<>\"'N\u{e4}", "second"])
        #expect(root["Empty"]?.text == "")
        #expect(root["Sub"]?["Key"]?.text == "x")
        #expect(root["Missing"] == nil)
    }

    @Test(arguments: [
        "", " ", "text", "<a>", "<a></b>", "<a/><b/>", "<a/>text", "<a>&unknown;</a>", "<a>&amp</a>", "<a>&#xd800;</a>",
        "<!DOCTYPE a><a/>", "<a><![CDATA[x]]></a>", "<a b></a>", "<a b=c></a>", "<a b=\"c></a>", "<a", "<a><b></a></b>",
        "<?xml version=\"1.0\"", "< a/>", "<a><!-- </a>",
    ])
    func refuses(_ text: String) { #expect(parse(text) == nil) }

    @Test func refusesBytesThatAreNotUTF8() { #expect(XMLElement(parsing: Array("<a>".utf8) + [0xff]) == nil) }

    @Test func refusesDeepNesting() {
        func nested(_ depth: Int) -> String {
            String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
        }
        #expect(parse(nested(20)) != nil)
        #expect(parse(nested(100_000)) == nil)
    }

    @Test func escapesWhatItReads() throws {
        let text = "a&b<c>\"d'"
        #expect(try #require(parse("<k>\(xmlEscaped(text))</k>")).text == text)
    }
}
