/** `npm run help`: the commands, a line each. */
const COMMANDS: readonly (readonly [string, string])[] = [
  [
    "npm run up",
    "a working cluster on this machine (twice is harmless); `-- --isolated` in a network namespace of its own",
  ],
  ["npm run down", "stop it and remove every trace; `-- --keep-data` keeps what is in etcd and the images"],
  ["npm test", "lint, types, unit tests, tests with real etcd, NATS, containerd and nftables, and the story"],
  ["npm run lint", "types, linter, layer rules, formatting"],
  ["npm run build", "one bundle per service in dist/"],
  ["npm run release", "one archive of all that a machine of a cluster needs of ours; the playbooks call it"],
  ["npm run kubectl -- …", "the kubectl that npm carries, where a machine has none"],
  ["npm run sim", "the control plane on virtual time: `-- --seeds N [--from S]`"],
  ["npm run fuzz", "hostile input for what reads it: `-- --minutes N [--target T] [--seed S]`"],
  ["npm run conformance", "what the conformance suite asks for, name by name: `-- words that a name contains`"],
  ["npm run bench", "figures beside the floor of the same run: `-- floor` for the floor alone"],
  ["npm run lab", "bare Debian machines on this one, to provision: `-- --masters 3 --workers 2`"],
  [
    "npm run test:lab",
    "all of it on the lab, which it makes and provisions where it is not there; ends with a soak of ten minutes",
  ],
  ["npm run soak", "a workload, faults and checkers on the lab: `-- --minutes N [--fault-every S] [--seed X]`"],
  ["npm run lab:down", "remove every trace of them"],
  ["npm run lab:fault", "hurt one: `-- partition master-1`, `-- undo partition master-1`, `-- list`"],
  ["npx pilot status", "what runs, who leads, what is unwell and which command helps"],
  ["npx pilot trace tail", "spans as they happen, one line each"],
  ["npx pilot trace show pod/x", "the waterfall from `kubectl apply` to the running container"],
  ["npx pilot image load FILE", "a docker or OCI archive into the node's containerd"],
];

for (const [command, what] of COMMANDS) process.stdout.write(`  ${command.padEnd(28)} ${what}\n`);
