import Testing

/// Goal: wherever in a request to the object store t4 is killed, nothing that was acknowledged is lost, nothing else comes to
/// light twice or in part, nothing in the store is damaged, and what was cut off can be done again.
/// Method: an S3 service holds a request (`scripts/serve-moto`), the process that sent it is killed with SIGKILL, and the
/// request is dropped, or carried out now or after others have written. Then, often without the data directory, t4 goes on.
@Suite(
    .enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"),
    .enabled(if: S3Service.isInstalled, "there is no moto: run scripts/fetch-moto once, which installs it"))
struct KillPointTests {
    @Test(arguments: KillCase.short) func aKilledRequestDoesNoHarm(_ kill: KillCase) async throws {
        try await KillRun.run(kill)
    }

    @Test(
        .enabled(if: TestEnvironment.isSlowAllowed, "takes many minutes: T4_TEST_SLOW=1 runs it"),
        arguments: KillCase.chosen)
    func noKilledRequestDoesHarm(_ kill: KillCase) async throws {
        try await KillRun.run(kill)
    }
}
