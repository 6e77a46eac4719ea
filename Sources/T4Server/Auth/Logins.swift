import EtcdAPI
import Logging
import RPC
import SwiftProtobuf
import Synchronization
import T4Core

/// Logs users in, and hashes passwords, on threads of its own.
final class Logins: Sendable {
    /// Logins and new passwords that may wait; each takes the time of a hash.
    private static let waitingMax = 512
    /// Letters of a token, of 52: more than 180 bits.
    private static let tokenLength = 32

    let hashes: PasswordHash
    private let context: ServiceContext
    private let logger: Logger
    private let failures: LoginGuard
    private let queue: BackgroundQueue
    private let successes = Atomic<Int>(0)
    private let wrongPasswords = Atomic<Int>(0)
    private let refusals = Atomic<Int>(0)

    init(context: ServiceContext, logger: Logger, failures: LoginGuard = LoginGuard()) {
        self.context = context
        self.logger = logger
        self.failures = failures
        hashes = PasswordHash(cost: context.settings.bcryptCost)
        // As many as event loops: the processors are theirs too.
        queue = BackgroundQueue(
            name: "t4-login", threads: context.settings.threads, waitingMax: Logins.waitingMax)
    }

    /// Passwords that were tried: right ones, wrong ones, and those of users who are locked.
    var counts: (right: Int, wrong: Int, locked: Int) {
        (
            successes.load(ordering: .relaxed), wrongPasswords.load(ordering: .relaxed),
            refusals.load(ordering: .relaxed)
        )
    }

    /// Ends the threads; what waits is dropped.
    func stop() { queue.stop(finishing: false) }

    /// Does work that hashes, and answers the call with what it throws.
    func run(_ call: ServerCall, _ work: @escaping @Sendable () throws -> Void) {
        let isTaken = queue.run {
            // Nobody waits for it any more.
            if !call.isClosed { call.answeringErrors(work) }
        }
        if !isTaken { call.fail(EtcdErrors.status(DatabaseError(.tooManyRequests))) }
    }

    /// Answers a call with the token of a login.
    func login(_ name: [UInt8], _ password: [UInt8], _ call: ServerCall) {
        run(call) { try self.attempt(name, password, call) }
    }

    private func attempt(_ name: [UInt8], _ password: [UInt8], _ call: ServerCall) throws {
        guard context.isAuthOn else { throw DatabaseError(.authNotEnabled) }
        if failures.isLocked(name) {
            refusals.add(1, ordering: .relaxed)
            throw DatabaseError(.userLocked)
        }
        let accounts = context.node.auth.view.accounts
        let user = accounts.users[name]
        let isRight = hashes.verify(password, user.flatMap { $0.hasNoPassword ? nil : $0.password })
        guard isRight else {
            wrongPasswords.add(1, ordering: .relaxed)
            let isLocked = failures.failed(name)
            logger.warning(
                isLocked ? "a login failed, and the user is locked" : "a login failed",
                metadata: ["user": "\(Logins.printable(name))", "client": "\(call.remoteAddress ?? "")"])
            throw DatabaseError(user?.hasNoPassword == true ? .noPasswordUser : .authenticationFailed)
        }
        failures.succeeded(name)
        successes.add(1, ordering: .relaxed)
        if let signedTokens = context.settings.signedTokens {
            return try answer(call, signedTokens, name, password, accounts)
        }
        let token = makeToken()
        let login = context.node.auth.makeToken(Array(token.utf8), for: name)
        let request = AuthRequest.issueToken(login, checkedRevision: accounts.revision)
        context.node.submit(.auth(request)) { [self] result in
            // Accounts changed meanwhile, perhaps this password: once more.
            if case .failure(let error) = result, error.code == .authRevisionOld {
                return context.whenCurrent(call) { self.login(name, password, call) }
            }
            call.answeringErrors {
                guard case .auth(let revision) = try result.get() else { preconditionFailure("not what was proposed") }
                try respond(call, token, revision: revision)
            }
        }
    }

    /// Answers with a token of which nothing is kept.
    private func answer(
        _ call: ServerCall, _ signedTokens: SignedTokens, _ name: [UInt8], _ password: [UInt8],
        _ accounts: AuthAccounts
    ) throws {
        let keeper = context.node.auth
        let token = try signedTokens.token(for: name, revision: accounts.revision, at: keeper.wallTime)
        // Accounts changed meanwhile: the token would be too old from the start.
        guard keeper.view.revision == accounts.revision else { return login(name, password, call) }
        try respond(call, token, revision: context.node.published.revision)
    }

    private func respond(_ call: ServerCall, _ token: String, revision: Revision) throws {
        var answer = EtcdAuthenticateResponse()
        answer.header = context.message(revision: revision)
        answer.token = token
        call.respond(try answer.encoded())
    }

    /// A name for the log, which strangers must not be able to write into: one short line.
    private static func printable(_ name: [UInt8]) -> String {
        let text = String(decoding: name.prefix(64), as: UTF8.self)
        let scalars = text.unicodeScalars.map { $0.isASCII && ($0.value < 0x21 || $0.value == 0x7F) ? "?" : $0 }
        return String(String.UnicodeScalarView(scalars)) + (name.count > 64 ? "..." : "")
    }

    /// Letters, a dot and where the log stood, as etcd's tokens look.
    private func makeToken() -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<Logins.tokenLength).map { _ in letters.randomElement(using: &generator) ?? "a" }
        return "\(String(secret)).\(context.node.published.appliedIndex)"
    }
}
