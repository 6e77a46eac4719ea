import Foundation
import Logging
import T4Server
import Testing

/// Goal: a log message is one line that people and programs can read, whatever it says. Method: messages with everything in them.
@Suite struct LogLineTests {
    private func line(_ message: String, _ fields: Logger.Metadata = [:]) -> LogLine {
        LogLine(time: "2026-01-02T03:04:05.678Z", level: .warning, message: message, fields: fields)
    }

    private func object(_ line: LogLine, node: String? = nil) throws -> [String: Any] {
        let text = line.json(node: node)
        #expect(!text.unicodeScalars.contains { $0.value < 0x20 }, "\(text)")
        return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func textHasFieldsInOrder() {
        let text = line("something happened", ["b.c": "2", "a": "1 2"]).text
        #expect(text == "2026-01-02T03:04:05.678Z warning something happened a=1 2 b.c=2")
    }

    @Test func nothingBreaksALineOfText() {
        let text = line("one\ntwo\r\n\u{1B}[2J", ["a": "x\ny\u{7F}\t"]).text
        #expect(
            text == #"2026-01-02T03:04:05.678Z warning one\ntwo\r\n\u001b[2J a=x\ny\u007f\t"#)
    }

    @Test func objectsHaveTheirParts() throws {
        let found = try object(line("größer \u{1F600}", ["wal.end": "1.5"]), node: "a")
        #expect(
            found as? [String: String] == [
                "time": "2026-01-02T03:04:05.678Z", "level": "warning", "message": "größer \u{1F600}", "node": "a",
                "wal.end": "1.5",
            ])
        #expect(try object(line("x"))["node"] == nil)
    }

    @Test func nothingBreaksAnObject() throws {
        let text = String(String.UnicodeScalarView((0..<0x100).compactMap { Unicode.Scalar($0) }))
        let found = try object(line(text, [text: .string(text)]))
        #expect(found["message"] as? String == text && found[text] as? String == text)
    }

    @Test func valuesKeepTheirShape() throws {
        let line = line("x", ["list": ["a", ["b": .stringConvertible(3)]], "map": ["k": "v", "j": []]])
        #expect(line.json(node: nil).hasSuffix(#","list":["a",{"b":"3"}],"map":{"j":[],"k":"v"}}"#))
        #expect(try object(line)["map"] != nil)
    }

    /// Readers differ in which of two members of one name they take.
    @Test func noNameStandsThereTwice() throws {
        let text = line("x", ["time": "1", "node": "2", "level": "3"]).json(node: "a")
        for name in ["time", "node", "level", "message"] {
            #expect(text.matches(of: try Regex("\"\(name)\":")).count == 1, "\(name)")
        }
        #expect(try object(line("x", ["time": "1"]))["field.time"] as? String == "1")
    }
}
