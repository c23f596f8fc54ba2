"""The paper's own numbers. Source: arXiv 2402.09543v1, the tables named here."""

from typing import NamedTuple

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


class Statistics(NamedTuple):
    """A row of Table 3; what it calls sparsity is a density, as a fraction."""

    users: int
    items: int
    interactions: int
    density: float


TABLE_1 = {  # average input length in tokens, milliseconds per batch of 32 users, on ML-1M
    "BERT4Rec": (21.0, 2.37),
    "P5": (112.2, 2280.0),
    "POD": (85.0, 2170.0),
}
TABLE_2 = {  # Recall@20, NDCG@20, milliseconds per batch of 32 users
    "ml-1m": {
        "P5": (0.2985, 0.1442, 2280.0),
        "P5 w/o_d": (0.3109, 0.1459, 40.06),
        "P5 w/o_d_TID": (0.3354, 0.1586, 95.40),
        "POD": (0.2992, 0.1403, 2170.0),
        "POD w/o_d": (0.3022, 0.1416, 35.21),
        "POD w/o_d_TID": (0.3339, 0.1567, 90.26),
    },
    "amazon-movies-2018": {
        "P5": (0.1080, 0.0761, 1770.0),
        "P5 w/o_d": (0.1217, 0.0794, 37.01),
        "P5 w/o_d_TID": (0.1401, 0.0905, 99.02),
        "POD": (0.1089, 0.0761, 1400.0),
        "POD w/o_d": (0.1330, 0.0866, 32.13),
        "POD w/o_d_TID": (0.1406, 0.0908, 80.38),
    },
}
TABLE_3 = {
    "ml-1m": Statistics(6_040, 3_706, 994_169, 0.0446),
    "amazon-movies-2018": Statistics(79_276, 29_946, 1_775_011, 0.0007),
    "amazon-toys-2018": Statistics(11_803, 8_569, 206_103, 0.0020),
}
TABLE_4 = {  # METRICS
    "ml-1m": {
        "BERT4Rec": (0.1981, 0.2892, 0.1093, 0.1323),
        "SASRec": (0.1834, 0.2785, 0.0801, 0.1040),
        "S3-Rec": (0.1776, 0.2733, 0.0882, 0.1123),
        "FDSA": (0.1962, 0.2854, 0.1058, 0.1283),
        "LightLM": (0.1705, 0.2531, 0.0928, 0.1135),
        "P5": (0.2149, 0.2985, 0.1232, 0.1442),
        "POD": (0.2185, 0.2992, 0.1201, 0.1403),
        "Lite-LLM4Rec sampling": (0.2733, 0.3770, 0.1518, 0.1780),
        "Lite-LLM4Rec all": (0.3209, 0.4255, 0.1866, 0.2129),
    },
    "amazon-movies-2018": {
        "BERT4Rec": (0.0761, 0.1048, 0.0493, 0.0565),
        "SASRec": (0.1082, 0.1449, 0.0714, 0.0807),
        "S3-Rec": (0.0764, 0.1074, 0.0481, 0.0560),
        "FDSA": (0.1151, 0.1500, 0.0804, 0.0891),
        "LightLM": (0.0751, 0.0958, 0.0521, 0.0574),
        "P5": (0.0905, 0.1080, 0.0718, 0.0761),
        "POD": (0.0904, 0.1089, 0.0715, 0.0761),
        "Lite-LLM4Rec sampling": (0.1156, 0.1447, 0.0856, 0.0929),
        "Lite-LLM4Rec all": (0.1253, 0.1596, 0.0906, 0.0992),
    },
    "amazon-toys-2018": {
        "BERT4Rec": (0.0352, 0.0543, 0.0179, 0.0227),
        "SASRec": (0.0561, 0.0776, 0.0312, 0.0366),
        "S3-Rec": (0.0538, 0.0811, 0.0276, 0.0345),
        "FDSA": (0.0568, 0.0860, 0.0344, 0.0417),
        "LightLM": (0.0509, 0.0721, 0.0302, 0.0355),
        "P5": (0.0543, 0.0661, 0.0356, 0.0416),
        "POD": (0.0565, 0.0690, 0.0421, 0.0452),
        "Lite-LLM4Rec sampling": (0.0682, 0.0927, 0.0426, 0.0488),
        "Lite-LLM4Rec all": (0.0627, 0.0894, 0.0382, 0.0449),
    },
}
TABLE_5 = {  # milliseconds per batch of 32 users, from input to ranking
    "ml-1m": {"P5": 2280.0, "POD": 2170.0, "Lite-LLM4Rec": 6.13},
    "amazon-movies-2018": {"P5": 1770.0, "POD": 1400.0, "Lite-LLM4Rec": 5.14},
    "amazon-toys-2018": {"P5": 1620.0, "POD": 1490.0, "Lite-LLM4Rec": 5.03},
}
TABLE_6 = {  # average input length
    "ml-1m": {"P5": 112.2, "POD": 85.0, "Lite-LLM4Rec": 21.0},
    "amazon-movies-2018": {"P5": 112.1, "POD": 89.1, "Lite-LLM4Rec": 20.7},
    "amazon-toys-2018": {"P5": 107.1, "POD": 83.5, "Lite-LLM4Rec": 20.8},
}
TITLE_TOKENS = {"ml-1m": {"POD w/o_d_TID": 297.4}}  # §3.3, average input length with titles
GAINS = {  # §5.2, per cent above the best: Recall@10 of the language models, NDCG@20 of all
    "recall@10": {"ml-1m": 46.8, "amazon-movies-2018": 38.4, "amazon-toys-2018": 20.7},
    "ndcg@20": {"ml-1m": 51.4, "amazon-movies-2018": 11.3, "amazon-toys-2018": 7.9},
}
TABLE_7 = {  # Item LLM, on ML-1M, METRICS
    "T5-small": (0.2733, 0.3770, 0.1518, 0.1780),
    "T5-base": (0.2728, 0.3742, 0.1512, 0.1767),
    "BERT": (0.2706, 0.3749, 0.1529, 0.1793),
    "Sbert": (0.2668, 0.3707, 0.1486, 0.1748),
}
FIGURE_2 = {"P5": 0.982, "POD": 0.983}  # share of beam search in the time, on ML-1M
