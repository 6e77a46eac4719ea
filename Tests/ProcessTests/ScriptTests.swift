import T4Conformance
import Testing

/// Goal: t4 is etcd to etcdctl. Method: the same etcdctl runs the same commands against real etcd and against the
/// subject, and everything it prints, on both streams, and its exit code must be equal.
struct ScriptTests {
    @Test(arguments: TestEnvironment.chosen(of: Script.names))
    func doesWhatEtcdDoes(_ name: String) async throws {
        let script = try Script(named: name)
        if script.isSlow && !TestEnvironment.isSlowAllowed { return }
        try await Slots.servers.use {
            let subject = TestEnvironment.subject
            async let wanted = ScriptRun.results(of: script, on: .etcd)
            async let got = ScriptRun.results(of: script, on: subject)
            let difference = SideBySide.firstDifference(
                script, etcd: try await wanted, subject: try await got, subjectName: subject.description)
            if let difference { Issue.record("\(difference)") }
        }
    }

    @Test func scriptsAreThere() {
        #expect(Script.names.count >= 20)
    }

    /// The comparison itself must notice a difference, or every script would pass.
    @Test func differencesAreSeen() throws {
        let script = try Script(name: "sample", text: "$ get a\n")
        var left = Normalizer()
        var right = Normalizer()
        let same = StepResult(line: 1, command: "$ get a", output: "a\n1\n", errors: "", status: .code(0))
        let other = StepResult(line: 1, command: "$ get a", output: "a\n2\n", errors: "", status: .code(0))
        let failed = StepResult(line: 1, command: "$ get a", output: "a\n1\n", errors: "", status: .code(1))
        for (subject, isSame) in [(same, true), (other, false), (failed, false)] {
            let found = SideBySide.firstDifference(script, etcd: [same], subject: [subject], subjectName: "t4")
            #expect((found == nil) == isSame)
        }
        #expect(left.text("lease 37e4a21b3c654809 granted") == right.text("lease 1234567890123456 granted"))
        #expect(left.text("37e4a21b3c654809 37e4a21b3c65480b") != right.text("1234567890123456 1234567890123456"))
        let header = #"{"header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":2}}"#
        #expect(left.text(header).contains(#""revision":5"#))
    }

    /// Of a measurement only the numbers may differ.
    @Test func shapesHideNumbersOnly() {
        var normalizer = Normalizer()
        func shape(_ progress: String, _ count: Int, _ slowest: String, _ verdict: String) -> String {
            let text = "\(progress)\(verdict): Throughput is \(count) writes/s\nPASS: Slowest request took \(slowest)\n"
            return normalizer.text(text, shapeOnly: true)
        }
        let plain = "PASS: Throughput is <any> writes/s\nPASS: Slowest request took <time>\n"
        let bar = "\r 0 / 60    0.00%\r 59 / 60   98.33% 00m01s"
        #expect(shape("", 150, "0.027973s", "PASS") == plain)
        #expect(shape(bar + "\r 60 / 60  100.00% 1m0s\n", 149, "1.5s", "PASS") == plain)
        #expect(shape(bar + "\r 60 / 60  100.00%", 150, "12ms", "PASS") == plain)
        #expect(shape("", 150, "0.027973s", "FAIL") != plain)
    }
}
