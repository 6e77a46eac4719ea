import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: the probe accepts stores that keep conditions and names what is wrong with others. Method: the built-in stores,
/// and stores with one defect each.
@Suite struct ConditionalPutProbeTests {
    @Test func acceptsWhatKeepsConditionsAndLeavesNothing() async throws {
        for subject in BuiltIn.stores where subject.capabilities.putsIfAbsent {
            let storage = try await subject.makeStorage()
            let store = try await storage.open()
            #expect(try await ConditionalPutProbe.run(on: store) == .reliable, "\(subject)")
            #expect(try await store.list(prefix: "", after: nil, limit: 10).objects.isEmpty)
            await store.close()
            try await storage.remove()
        }
    }

    @Test(
        arguments: [
            (.pretends, .capabilities), (.createOverwrites, .createAgain), (.swapComparesNothing, .replaceStale),
            (.swapCreates, .replaceStale), (.looksThenCreates, .parallelCreates),
        ] as [(StoreDefect, ConditionalPutProbe.Step)])
    func namesTheStepThatFailed(_ defect: StoreDefect, _ step: ConditionalPutProbe.Step) async throws {
        let base = try await BuiltIn.openStore("memory")
        let verdict = try await ConditionalPutProbe.run(on: BrokenStore(base, defect))
        guard case .unreliable(let failed, _) = verdict else {
            Issue.record("\(verdict)")
            return
        }
        #expect(failed == step)
        #expect("\(verdict)".contains("\(step)"))
        #expect(try await base.list(prefix: "", after: nil, limit: 10).objects.isEmpty)
    }

    @Test func aStoreThatDoesNotAnswerHasNoVerdict() async throws {
        let base = try await BuiltIn.openStore("memory")
        await base.close()
        let error = await #expect(throws: ObjectStoreError.self) { try await ConditionalPutProbe.run(on: base) }
        #expect(error?.code == .closed)
    }
}
