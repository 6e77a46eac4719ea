import Testing

@testable import T4Server

/// The table of methods says what the wire definitions say.
struct MethodTests {
    @Test func matchesDefinitions() throws {
        var defined: Set<String> = []
        for text in try WireDefinitions.texts() {
            var (package, service) = ("", "")
            for line in text.split(separator: "\n") {
                let words = line.split(whereSeparator: { " ();{".contains($0) })
                switch words.first {
                case "package": package = String(words[1])
                case "service": service = String(words[1])
                case "rpc":
                    let asks = words[2] == "stream"
                    let answers = words.dropFirst(3).contains("stream")
                    let streaming = asks && answers ? "both" : asks ? "requests" : answers ? "answers" : "none"
                    defined.insert("/\(package).\(service)/\(words[1]) \(streaming)")
                default: break
                }
            }
        }
        #expect(Set(Method.all.map { "\($0.path) \($0.streaming)" }) == defined)
        #expect(Method.all.count == defined.count)
        let paths = Method.all.flatMap(\.gatewayPaths)
        #expect(Set(paths).count == paths.count)
    }
}
