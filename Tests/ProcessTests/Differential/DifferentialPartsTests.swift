import EtcdAPI
import Foundation
import SwiftProtobuf
import Testing

/// Goal: the comparison sees differences, scripts survive printing, and the shrinker finds the few steps that matter.
struct DifferentialPartsTests {
    @Test func everyVerbHasItsMessages() throws {
        for verb in Verb.allCases {
            #expect(try VerbCodec.of(verb).encode("").isEmpty)
            #expect(try VerbCodec.of(verb).text([]).isEmpty)
        }
    }

    @Test func scriptsAreReadAsTheyArePrinted() throws {
        for seed in 0..<20 as Range<UInt64> {
            let steps = StepGenerator.script(seed: seed, count: 300)
            #expect(steps == StepGenerator.script(seed: seed, count: 300))
            #expect(try Step.script(steps.map(\.description).joined(separator: "\n")) == steps)
            let users = StepGenerator.authScript(seed: seed, count: 300)
            #expect(try Step.script(users.map(\.description).joined(separator: "\n")) == users)
            let lines = StepGenerator.lineScript(seed: seed, count: 300)
            #expect(try Step.script(lines.map(\.description).joined(separator: "\n")) == lines)
        }
        #expect(try Step.script("# nothing\nPut key: \"a\\\"} \\000\" lease: $a\n").count == 1)
        for wrong in ["Nothing", "Put key", "Put key: \"a", "Txn success {", "Watch create_request { }", "Put#1"] {
            #expect(throws: TextSyntaxError.self) { _ = try Step.script(wrong) }
        }
    }

    @Test func everyKindOfStepComesUp() {
        let steps = (0..<20 as Range<UInt64>).flatMap {
            StepGenerator.script(seed: $0, count: 500) + StepGenerator.authScript(seed: $0, count: 500)
                + StepGenerator.lineScript(seed: $0, count: 500)
        }
        #expect(Set(steps.map(\.verb)) == Set(Verb.allCases))
    }

    @Test func symbolsStandForNumbers() throws {
        #expect(try Side.revision("$now-3", revision: 10, compacted: 4) == 7)
        #expect(try Side.revision("$now+1", revision: 10, compacted: 4) == 11)
        #expect(try Side.revision("$compacted", revision: 10, compacted: 4) == 4)
        #expect(try Side.revision("$now-30", revision: 10, compacted: 4) == 1)
        #expect(throws: TextSyntaxError.self) { _ = try Side.revision("$nowhere", revision: 1, compacted: 0) }
        #expect(Side.expanded("\"a{x*3}b\"") == "\"axxxb\"")
    }

    /// Steps 17 and 42 together fail, and only while the latter has its field `limit`.
    @Test func theShrinkerFindsWhatMatters() async throws {
        let steps = (0..<60).map { number in
            Step(.range, [TextField("key", bytes: "k".utf8), TextField("limit", number), TextField("revision", 1)])
        }
        func fails(_ steps: [Step]) -> Bool {
            guard let first = steps.firstIndex(where: { $0.fields["limit"]?.scalar == "17" }) else { return false }
            return steps[first...].contains { $0.fields["limit"]?.scalar == "42" }
        }
        var tries = 0
        let short = try await Shrinker.shrunk(steps, tries: 500) { candidate in
            tries += 1
            return fails(candidate)
        }
        #expect(short == [Step(.range, [TextField("limit", 17)]), Step(.range, [TextField("limit", 42)])])
        #expect(tries < 200)
        let hurried = try await Shrinker.shrunk(steps, tries: 3) { fails($0) }
        #expect(fails(hurried))
        #expect(try await Shrinker.shrunk(steps, tries: 50) { _ in false } == steps)
    }

    @Test func eventsAreCompared() throws {
        func response(_ revisions: [Int64], fragment: Bool = false, value: String = "x") -> EtcdWatchResponse {
            EtcdWatchResponse.with { response in
                response.header.revision = revisions.max() ?? 0
                response.fragment = fragment
                response.events = revisions.map { revision in
                    EtcdEvent.with {
                        $0.kv.key = Data([1])
                        $0.kv.modRevision = revision
                        $0.kv.value = Data(value.utf8)
                    }
                }
            }
        }
        #expect([response([2], fragment: true), response([2])].withoutFragments == [response([2, 2])])
        #expect([response([2]), response([3])].withoutFragments == [response([2]), response([3])])
        #expect(throws: Mismatch.self) {
            try WatchComparison.check(controls: [response([])], [], "stream 0")
        }
    }

    @Test func theModelCountsWhatIsDue() throws {
        func event(_ key: String, _ revision: Int64, isDelete: Bool = false) -> EtcdEvent {
            EtcdEvent.with {
                $0.type = isDelete ? .delete : .put
                $0.kv.key = Data(key.utf8)
                $0.kv.modRevision = revision
            }
        }
        func watch(_ text: String, at revision: Int64) throws -> WatchModel.ActiveWatch {
            WatchModel.ActiveWatch(try EtcdWatchCreateRequest(textFormatString: text), revision: revision)
        }
        var model = WatchModel()
        _ = model.add([event("a", 2), event("b", 3), event("a", 4, isDelete: true), event("ab", 5)])
        let cases: [(text: String, count: Int)] = [
            (#"key: "a" start_revision: 1"#, 2), (#"key: "a" range_end: "b" start_revision: 1"#, 3),
            (#"key: "a" start_revision: 3"#, 1), (#"key: "a" start_revision: 1 filters: NODELETE"#, 1),
            (#"key: "a" start_revision: 1 filters: NOPUT"#, 1), (#"range_end: "\000" start_revision: 1"#, 4),
            (#"key: "ab" range_end: "\000" start_revision: 1"#, 2), (#"key: "a""#, 0),
        ]
        for (text, count) in cases {
            #expect(
                model.due(try watch(text, at: 5), compacted: 0) == WatchModel.Due(etcd: count, t4: count), "\(text)")
        }
        let deletion = try watch(#"key: "a" start_revision: 4"#, at: 5)
        #expect(model.due(deletion, compacted: 4) == WatchModel.Due(etcd: 0, t4: 1))
        let key = WatchModel.WatchKey(stream: 0, id: 0)
        model.active[key] = try watch(#"key: "a" range_end: "b" start_revision: 7"#, at: 5)
        #expect(model.hasFutureWatch(on: 0, revision: 6) && !model.hasFutureWatch(on: 0, revision: 7))
        #expect(model.add([event("a", 6), event("a", 7), event("b", 7)]) == [key: WatchModel.Due(etcd: 1, t4: 1)])
    }
}
