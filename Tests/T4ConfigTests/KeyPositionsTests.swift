import Testing

@testable import T4Config

@Suite struct KeyPositionsTests {
    @Test func findsKeysOfEveryForm() {
        let text = """
            # first = 1
            top = "a # b = c"   # x = 1
            [node]
              id = 'n = 1'
            "data dir" = 1
            text = \"\"\"
            [not.a.table]
            key = 1 \\\"""
            \"\"\"
            list = [ # one = 1
              "a]", [1, 2], { inner = 1 },
            ]
            after = 1
            [ engine . "lm db" ]
            a.b = { c = 1, "d" = { e = 2 }, f = [1] }
            last = '''
            [x]
            ''''
            [[many]]
            name = 1
            [[many]]
            name = 2
            """
        let positions = KeyPositions(of: text)
        let expected: [([String], Int, Int)] = [
            (["top"], 2, 1), (["node"], 3, 2), (["node", "id"], 4, 3), (["node", "data dir"], 5, 1),
            (["node", "text"], 6, 1), (["node", "list"], 10, 1), (["node", "list", "inner"], 11, 19),
            (["node", "after"], 13, 1), (["engine", "lm db"], 14, 3), (["engine", "lm db", "a", "b"], 15, 1),
            (["engine", "lm db", "a", "b", "c"], 15, 9), (["engine", "lm db", "a", "b", "d", "e"], 15, 24),
            (["engine", "lm db", "a", "b", "f"], 15, 33), (["engine", "lm db", "last"], 16, 1),
            (["many", "name"], 20, 1),
        ]
        for (path, line, column) in expected {
            #expect(positions[path] == KeyPositions.Position(line: line, column: column), "\(path)")
        }
        for wrong in [["first"], ["one"], ["node", "key"], ["not"], ["x"], ["node", "x"]] {
            #expect(positions[wrong] == nil, "\(wrong)")
        }
    }

    /// The parser refuses such texts, but whoever reads positions must come to an end on any.
    @Test(arguments: [
        "[", "]", "[[", "a", "a=", "a={", "a=[", "a=\"", "a='''", "=", "a={b", "a={b=[{c", "a=[,,", "a={,", "{}", ".",
        "a.=1", "\"", "a=\"\\", "a={b=1}}", "\u{FEFF}a=1", "a=[}", "\r\r", "a b c",
    ])
    func endsOnAnyText(_ text: String) {
        _ = KeyPositions(of: text)
        let positions = KeyPositions(of: text + "\n\n[z]\n")
        #expect(positions[["never"]] == nil)
    }
}
