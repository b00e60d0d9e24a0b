"""Methods: question, estimand, the two targets in plain words, tests used, references."""

from __future__ import annotations

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.numbers import Numbers
from biasaudit.report.scale import Scale
from biasaudit.report.verdict import tost_phrase
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast

TITLE = {"pt": "Métodos", "en": "Methods"}
ORDER = 80

_REFERENCES = """\
Ibragimov, R.; Müller, U. K. (2010). t-Statistic Based Correlation and Heterogeneity Robust Inference. Journal
of Business & Economic Statistics 28(4), 453–468.

Bonett, D. G.; Price, R. M. (2012). Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
Based on Paired Data. Journal of Educational and Behavioral Statistics 37(4), 479–488.

Newcombe, R. G. (1998). Interval Estimation for the Difference between Independent Proportions: Comparison of
Eleven Methods. Statistics in Medicine 17(8), 873–890.

Angelopoulos, A. N.; Duchi, J. C.; Zrnic, T. (2023). PPI++: Efficient Prediction-Powered Inference.
arXiv:2311.01453.

Rogan, W. J.; Gladen, B. (1978). Estimating Prevalence from the Results of a Screening Test. American Journal of
Epidemiology 107(1), 71–76.

Holm, S. (1979). A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics
6(2), 65–70.

Benjamini, Y.; Hochberg, Y. (1995). Controlling the False Discovery Rate. Journal of the Royal Statistical
Society B 57(1), 289–300.

Schuirmann, D. J. (1987). A Comparison of the Two One-Sided Tests Procedure and the Power Approach. Journal of
Pharmacokinetics and Biopharmaceutics 15(6), 657–680.

Higgins, J. P. T.; Thompson, S. G. (2002). Quantifying Heterogeneity in a Meta-Analysis. Statistics in Medicine
21(11), 1539–1558.

Higgins, J. P. T.; Thompson, S. G.; Spiegelhalter, D. J. (2009). A Re-Evaluation of Random-Effects Meta-Analysis.
Journal of the Royal Statistical Society A 172(1), 137–159.

Davison, A. C.; Hinkley, D. V. (1997). Bootstrap Methods and their Application. Cambridge University Press.

Carpenter, J. (1999). Test Inversion Bootstrap Confidence Intervals. Journal of the Royal Statistical Society B 61(1),
159–172.

Lan, K. K. G.; DeMets, D. L. (1983). Discrete Sequential Boundaries for Clinical Trials. Biometrika 70(3), 659–663.

Jennison, C.; Turnbull, B. W. (1989). Interim Analyses: The Repeated Confidence Interval Approach. Journal of the Royal
Statistical Society B 51(3), 305–361.

Waudby-Smith, I.; Arbour, D.; Sinha, R.; Kennedy, E. H.; Ramdas, A. (2024). Time-Uniform Central Limit Theory and
Asymptotic Confidence Sequences. Annals of Statistics 52(6), 2613–2640.

Benz, N. L. C. et al. (2025). Evaluation of Large Language Models via Coupled Token Generation.
arXiv:2502.01754.

Maddison, C. J.; Tarlow, D.; Minka, T. (2014). A* Sampling. Advances in Neural Information Processing Systems
27.
"""


def render(view: ReportView, locale: str) -> Markup:
    """The section; without contrasts only the standing parts."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    contrast = view.leading()
    return html.render(
        "methods.html",
        locale,
        alpha=view.alpha,
        question=_question(contrast, words, numbers) if contrast else "",
        estimand=words("methods.estimand_text", tuned=contrast.tuned, reference=contrast.reference) if contrast else "",
        tests=[*_tests(contrast, words, numbers), _family(view, contrast, words)] if contrast else [],
        references=[" ".join(entry.split()) for entry in _REFERENCES.split("\n\n")],
    )


def _question(contrast: Contrast, words: Words, numbers: Numbers) -> str:
    share, label = contrast.outcome != "value", words.fixed("label", contrast.outcome)
    return words(
        "methods.question_text",
        measure=contrast.measure,
        scorer=contrast.scorer,
        direction=words("direction.labelled", label=label) if share else words.phrase("direction", contrast.direction),
        outcome=words("methods.outcome_share", label=label) if share else words("methods.outcome_value"),
        unit=Scale.of(contrast, words, numbers).unit_words() or contrast.unit,
    )


def _tests(contrast: Contrast, words: Words, numbers: Numbers) -> list[str]:
    scale = Scale.of(contrast, words, numbers)
    lines = []
    for found in (contrast.population, contrast.fixed):
        target = words(f"target.{found.target}")
        untested = found.p is None and found.interval is None and found.note not in {"", "no-sampling-error"}
        if found.method and not untested:
            parts = [words.phrase("method", found.method)]
            if found.interval is not None and found.interval.method:
                parts.append(words.phrase("method", found.interval.method))
            if found.interval is None and found.note not in {"", "no-sampling-error"}:
                parts.append(words.fixed("note", found.note))
            lines.append(words("methods.test_line", target=target, method="; ".join(parts)))
        elif found.note:
            lines.append(words("methods.test_missing", target=target, note=words.fixed("note", found.note)))
    if contrast.decoding_id and not contrast.corrected and contrast.fixed.note != "no-sampling-error":
        rho = words("methods.rho_undefined") if contrast.rho is None else numbers.decimal(contrast.rho, 2)
        lines.append(words("methods.coupling_yes", rho=rho) if contrast.coupled else words("methods.coupling_no"))
    spread = contrast.heterogeneity
    if spread is not None:
        sampled = contrast.fixed.note != "no-sampling-error"
        lines.append(
            words(
                "methods.heterogeneity" if sampled else "methods.heterogeneity_exact",
                q=numbers.decimal(spread.q, 1),
                df=spread.df,
                p=numbers.p_phrase(spread.p),
                i2=numbers.percent(spread.i_squared, 0),
                tau=scale.effect(spread.tau_squared**0.5),
            )
        )
        if spread.prediction is not None:
            lines[-1] += " " + words("methods.prediction")
    if contrast.equivalence is not None:
        tost = contrast.equivalence
        lines.append(
            words(
                "methods.equivalence",
                margin=scale.bare(tost.margin),
                unit=scale.unit_words(),
                p=tost_phrase(words, numbers, contrast, tost.p),
                range=scale.range(tost.interval),
            )
        )
    return lines


def _family(view: ReportView, contrast: Contrast, words: Words) -> str:
    """Which tests are adjusted together, and whether any is confirmatory."""
    family = max(contrast.population.family_size, contrast.fixed.family_size)
    if contrast.role != "primary" or (contrast.population.p is None and contrast.fixed.p is None):
        return words("methods.multiplicity_none")
    if view.analysis.lock.get("state") in ("changed", "late"):
        return words("methods.multiplicity_exploratory", k=family)
    return words.plural("methods.multiplicity", family, k=family)
