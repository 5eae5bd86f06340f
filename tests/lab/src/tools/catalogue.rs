//! Which programs the lab builds, and from which module.

use crate::args::Kubernetes;

/// A program of a module.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its file name.
    pub name: &'static str,
    /// Its Go package.
    pub package: &'static str,
}

/// A folder of lock files and what is built from it.
#[derive(Clone, Copy, Debug)]
pub struct GoModule {
    /// The folder's name.
    pub name: &'static str,
    /// By whom it is needed.
    pub needed: Needed,
    /// The programs.
    pub programs: &'static [Program],
}

/// Who needs a module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Needed {
    /// Whoever speaks to a cluster.
    Always,
    /// Only a node of the lab's own.
    ByNode,
    /// Only a node with this Kubernetes.
    By(Kubernetes),
    /// Only the tests: a server to compare with, or a client that we serve.
    ByTests,
    /// Only the long run of the tests.
    ByLongTests,
}

/// The folder with npm's lock file.
pub const NPM_MODULE: &str = "npm";

/// Restate's programs.
pub(super) const NPM_PROGRAMS: [&str; 3] = ["restate-server", "restatectl", "restate"];

/// The version of them, as the lock file has it.
pub const RESTATE: &str = "1.7.12";

/// The folder with the lock file of a server of the oldest minor version that can be had, which only the long run of
/// the tests needs: it is upgraded from there.
pub const NPM_OLDER_MODULE: &str = "npm-older";

/// That server alone.
pub(super) const NPM_OLDER_PROGRAMS: [&str; 1] = ["restate-server"];

/// Its version, as the lock file has it.
pub const OLDER_RESTATE: &str = "1.6.1";

/// All Go modules.
pub const GO_MODULES: &[GoModule] = &[
    GoModule { name: "kubernetes-1.36", needed: Needed::By(Kubernetes::V1_36), programs: KUBERNETES },
    GoModule { name: "kubernetes-1.34", needed: Needed::By(Kubernetes::V1_34), programs: KUBERNETES },
    GoModule {
        name: "etcd",
        needed: Needed::ByNode,
        programs: &[program("etcd", "go.etcd.io/etcd/server/v3")],
    },
    GoModule {
        name: "containerd",
        needed: Needed::ByNode,
        programs: &[
            program("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
            program(
                "containerd-shim-runc-v2",
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            ),
            program("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
        ],
    },
    GoModule {
        name: "coredns",
        needed: Needed::ByNode,
        programs: &[program("coredns", "github.com/coredns/coredns")],
    },
    GoModule {
        name: "storage",
        needed: Needed::ByNode,
        programs: &[program("local-path-provisioner", "github.com/rancher/local-path-provisioner")],
    },
    GoModule {
        name: "helm",
        needed: Needed::Always,
        programs: &[program("helm", "helm.sh/helm/v4/cmd/helm")],
    },
    GoModule {
        name: "kwok",
        needed: Needed::ByNode,
        programs: &[program("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
    },
    GoModule {
        name: "grpcurl",
        needed: Needed::Always,
        programs: &[program("grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl")],
    },
    GoModule {
        name: "sample-apiserver",
        needed: Needed::ByTests,
        programs: &[program("sample-apiserver", "k8s.io/sample-apiserver")],
    },
    GoModule { name: "informers", needed: Needed::ByTests, programs: &[program("informers", OWN)] },
    GoModule { name: "kubectl-1.35", needed: Needed::ByLongTests, programs: &[program("kubectl-1.35", OWN)] },
    GoModule { name: "kubectl-1.34", needed: Needed::ByLongTests, programs: &[program("kubectl-1.34", OWN)] },
];

/// The package in the folder of the lock files itself: `tests/clients/<module>/main.go`.
const OWN: &str = ".";

const KUBERNETES: &[Program] = &[
    program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    program("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    program("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    program("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

impl GoModule {
    /// Is there a program of ours in it? Then its folder is among the tests' clients, and its text is part of its key.
    pub(super) fn is_own(&self) -> bool {
        self.programs.iter().any(|program| program.package == OWN)
    }

    /// The files that decide what its programs are.
    pub(super) fn files(&self) -> &'static [&'static str] {
        if self.is_own() { &["go.mod", "go.sum", "main.go"] } else { &["go.mod", "go.sum"] }
    }
}

/// Does this module make this program?
pub(super) fn has(module: &str, program: &str) -> bool {
    let of_go = GO_MODULES.iter().filter(|found| found.name == module).flat_map(|found| found.programs);
    of_go.into_iter().any(|found| found.name == program)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tools::{folder, locks, of_tests, wanted};

    #[test]
    fn every_module_has_its_lock_files() {
        for module in GO_MODULES {
            for file in module.files() {
                assert!(folder(module).join(file).is_file(), "{}/{file}", module.name);
            }
        }
        assert!(locks(NPM_MODULE).join("package-lock.json").is_file());
    }

    #[test]
    fn every_program_is_a_tool_of_its_module() {
        for module in GO_MODULES.iter().filter(|module| !module.is_own()) {
            let text = std::fs::read_to_string(folder(module).join("go.mod")).expect("go.mod");
            for program in module.programs {
                assert!(text.contains(program.package), "{} is no tool of {}", program.package, module.name);
            }
        }
    }

    #[test]
    fn one_kubernetes_makes_each_program_once() {
        for kubernetes in [Kubernetes::V1_36, Kubernetes::V1_34] {
            let names: Vec<_> =
                wanted(Some(kubernetes)).flat_map(|module| module.programs).map(|found| found.name).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
            assert!(names.contains(&"kubelet"));
        }
    }

    #[test]
    fn tests_need_more_than_a_cluster() {
        let names = |all| of_tests(all).map(|module| module.name).collect::<Vec<_>>();
        assert_eq!(names(false), ["sample-apiserver", "informers"]);
        assert_eq!(names(true), ["sample-apiserver", "informers", "kubectl-1.35", "kubectl-1.34"]);
        assert!(wanted(Some(Kubernetes::V1_36)).all(|module| !names(true).contains(&module.name)));
    }

    #[test]
    fn an_existing_cluster_needs_no_node() {
        let names: Vec<_> = wanted(None).map(|module| module.name).collect();
        assert_eq!(names, ["helm", "grpcurl"]);
    }
}
