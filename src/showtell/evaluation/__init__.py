"""What captions are worth: metrics and reports."""

from showtell.config.registry import declare

declare("metric", None, "showtell.evaluation.cider:CiderD", "cider")
declare("metric", None, "showtell.evaluation.bleu:Bleu", "bleu")
declare("metric", None, "showtell.evaluation.rouge:RougeL", "rouge_l")
declare("metric", None, "showtell.evaluation.java:Meteor", "meteor")
declare("metric", None, "showtell.evaluation.java:Spice", "spice")
declare("metric", None, "showtell.evaluation.clipscore:ClipScore", "clipscore")
