"""The command `tl-helpers`; each subcommand imports what it needs when it runs."""

import argparse
import sys


def main(arguments=None):
    """Run one subcommand.

    Args:
        arguments: list of str; None for the command line's.

    Returns:
        int exit status: 0, 1 where something checked was found wrong, 2 where the
        command could not run (one sentence on standard error says why), 130 where it
        was interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # no console fails over a letter it lacks
            stream.reconfigure(errors="replace")
    chosen = _parser().parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except KeyboardInterrupt:
        print("tl-helpers: stopped.", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f"tl-helpers: {error}", file=sys.stderr)
        return 2


def _parser():
    parser = argparse.ArgumentParser("tl-helpers", description=__doc__.split(";")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, run, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    course = add("course", _course, "run every notebook, write build/course/index.html")
    course.add_argument("--profile", choices=("quick", "full"))
    course.add_argument("--out", default="build/course", help="folder of the pages")
    add("doctor", _doctor, "say what this machine has and what would be downloaded")
    add("badges", _badges, "stamp Colab badge and set-up cell into every notebook")
    record = add(
        "record",
        _record,
        "run the authored notebooks of notebooks/solutions, keep their outputs, write "
        "down their claims and seconds, then write the learners' notebooks",
    )
    exercises = add(
        "exercises",
        _exercises,
        "write the learners' notebooks: the authored ones without their solutions",
    )
    for command in (course, record, exercises):
        command.add_argument(
            "--only", metavar="NAME", help="one of them: 00_start_here"
        )
    add("pictures", _pictures, "write each notebook's picture into docs/pictures")
    cache = add("cache", _cache, "show the size of the features cache, or empty it")
    cache.add_argument("--clear", action="store_true", help="empty it")
    mirror = add("mirror", _mirror, "fill a folder with real data for a class")
    mirror.add_argument("dest", metavar="DEST")
    mirror.add_argument("names", metavar="NAME", nargs="*", help="all where none given")
    verify = add("verify", _verify, "check such a folder")
    verify.add_argument("dest", metavar="DEST")
    _add_fit(add)
    return parser


def _add_fit(add):
    fit = add("fit", _fit, "fit a model to a folder of your images, and judge it")
    fit.add_argument("folder", metavar="FOLDER", help="one sub-folder a class")
    fit.add_argument(
        "--unlabelled", metavar="DIR", help="images from where it will be used"
    )
    fit.add_argument("--out", metavar="DIR", default="fit", help="report and model")
    fit.add_argument(
        "--minutes", metavar="N", type=float, default=10, help="for fine-tuning (10)"
    )
    fit.add_argument(
        "--backbone", metavar="NAME", nargs="+", help="embedded, MobileNetV2, ..."
    )


def _course(chosen):
    from tl_helpers import profiles
    from tl_helpers.tools import course, record

    profile = chosen.profile or profiles.current().name
    outcomes = course.run_course(out=chosen.out, profile=profile, only=chosen.only)
    recorded = record.read("notebooks/solutions") if profile == "quick" else {}
    print(course.summary(outcomes, recorded, "notebooks", with_claims=False))
    print(f"{chosen.out}/index.html")
    return int(any(outcome.error for outcome in outcomes))


def _record(chosen):
    from tl_helpers.tools import course, exercises, record, stamps

    stamps.stamp_badges()
    before = record.read("notebooks/solutions")
    outcomes = course.record_course(only=chosen.only)
    print(course.summary(outcomes, before, "notebooks/solutions"))
    if any(outcome.error for outcome in outcomes):
        return 1
    for path in exercises.write_learners(only=chosen.only):
        print(f"wrote {path}")


def _doctor(_):
    from tl_helpers.tools import doctor

    findings = doctor.report()
    width = max(len(name) for name, _ in findings)
    for name, value in findings:
        print(f"{name:{width}}  {value}")


def _badges(_):
    from tl_helpers.tools import stamps

    for path in stamps.stamp_badges():
        print(f"stamped {path}")


def _exercises(chosen):
    from tl_helpers.tools import exercises

    for path in exercises.write_learners(only=chosen.only):
        print(f"wrote {path}")


def _pictures(_):
    from tl_helpers.tools import pictures

    for path in pictures.write_pictures():
        print(f"wrote {path}")


def _cache(chosen):
    from tl_helpers import features

    if chosen.clear:
        print(f"{features.clear_cache()} entries deleted")
    info = features.cache_info()
    size_mb = info["bytes"] / 1e6
    print(f"{info['folder']}: {info['entries']} entries, {size_mb:.1f} MB")


def _mirror(chosen):
    from tl_helpers.tools.mirror import mirror

    return mirror(chosen.dest, chosen.names)


def _verify(chosen):
    from tl_helpers.tools.mirror import verify

    return verify(chosen.dest)


def _fit(chosen):
    from tl_helpers import profiles

    profiles.start()  # seeds everything; the same folder gives the same report
    from tl_helpers import fitting

    fitted = fitting.fit_folder(
        chosen.folder,
        out=chosen.out,
        unlabelled=chosen.unlabelled,
        backbone_names=chosen.backbone,
        minutes=chosen.minutes,
    )
    report = fitting.write_report(fitted, f"{chosen.out}/report.html")
    print(fitting.headline(fitted.facts))
    print(fitting.advice(fitted.facts))
    for path in filter(None, (report, fitted.model_path, fitted.adapted_path)):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
